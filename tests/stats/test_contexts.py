import itertools
import math

import numpy as np
import pandas as pd
import pytest

from compliance_xai.errors import InputError
from compliance_xai.records import Example
from compliance_xai.stats import contexts

CELL = {"scale": "1m", "parameters": 1_000_000, "strategy": "full", "baseline": "delete"}


def example(identifier, split, context):
    return Example(identifier, "clause", "rule", context, split)


def make_values(known, held_out, strategy="full", measure="normalised_entropy"):
    rows = [(f"t{i}", "test", "fire", value) for i, value in enumerate(known)]
    rows += [(f"d{i}", "document", "plumbing", value) for i, value in enumerate(held_out)]
    frame = pd.DataFrame(rows, columns=["id", "split", "context", "value"]).assign(seed=0, measure=measure)
    return frame.assign(**CELL | {"strategy": strategy})


def test_a_difference_with_its_interval():
    values = make_values(np.linspace(0.4, 0.6, 20), np.linspace(0.7, 0.9, 10))
    row = contexts.compare_held_out(values, "test", bootstrap=500).iloc[0]
    assert (row["n_known"], row["n_held_out"], row["reason"]) == (20, 10, "")
    assert row["difference"] == pytest.approx(0.3)
    assert 0.2 < row["low"] < 0.3 < row["high"] < 0.4
    assert math.isnan(row["adjusted"])  # no untouched base to compare with


def test_what_the_base_does_is_taken_off_clause_by_clause():
    known, held_out = np.linspace(0.4, 0.6, 20), np.linspace(0.7, 0.9, 10)
    # The base finds the held-out clauses just as much harder: nothing is left of the difference.
    values = pd.concat([make_values(known, held_out), make_values(known + 0.1, held_out + 0.1, "none")])
    table = contexts.compare_held_out(values, "test", bootstrap=500).set_index("strategy")
    assert table.loc["full", "difference"] == pytest.approx(0.3)
    assert table.loc["full", "adjusted"] == pytest.approx(0.0)
    assert (table.loc["full", "adjusted_low"], table.loc["full", "adjusted_high"]) == pytest.approx((0.0, 0.0))
    assert math.isnan(table.loc["none", "adjusted"])


@pytest.mark.parametrize("held_out", [[], [0.5] * 7, [np.nan] * 20])
def test_few_clauses_give_no_interval_and_no_sentence(held_out):
    table = contexts.compare_held_out(make_values([0.5] * 20, held_out), "test", bootstrap=100)
    n = sum(not math.isnan(value) for value in held_out)
    assert table["reason"].iloc[0] == f"{n} clauses, at least 8 are needed"
    assert table["difference"].isna().all()
    assert contexts.describe_held_out(table, "normalised_entropy") == (
        f"Normalised entropy: nothing can be said ({n} clauses, at least 8 are needed)."
    )


def test_a_sentence_counts_cells_by_direction():
    up, same = make_values([0.3, 0.5] * 10, [0.8, 0.9] * 5), make_values([0.4, 0.6] * 10, [0.4, 0.6] * 5)
    base = make_values([0.1] * 20, [0.9] * 10, "none")
    values = pd.concat([up, same.assign(strategy="lora"), base])
    table = contexts.compare_held_out(values, "test", bootstrap=200)
    assert contexts.describe_held_out(table, "normalised_entropy") == (
        "Normalised entropy: on average 0.68 in the held-out context and 0.45 elsewhere; higher in 1, not told apart "
        "in 1 of 2 fine-tuned cells, by the interval of the difference."
    )
    assert contexts.describe_held_out(table, "exact") == "Exact match: not measured."


def test_links_and_seeds_of_a_clause_are_one_value():
    keys = {name: CELL[name] for name in ("scale", "parameters", "strategy")}
    common = pd.DataFrame([{**keys, "baseline": "delete", "seed": seed, "id": "a"} for seed in (0, 1)])
    tables = {
        "focus": common.assign(sign="absolute", normalised_entropy=[0.2, 0.4], top_3_mass=0.5),
        "categories": common.assign(sign="absolute", category="numerical_constraint", log_lift=1.0),
        "gold": pd.concat([common.assign(sign="positive", precision_at_k=value) for value in (0.0, 1.0)]),
        "areas": pd.concat(
            [
                common.rename(columns={"baseline": "attribution"}).assign(operator=operator, deletion=value)
                for operator, value in (("mask", 0.9), ("delete", 0.1))
            ]
        ),
        "scores": common.assign(exact=[0, 1], equivalent=1),
    }
    values = contexts.gather_values(tables, [example("a", "test", "fire")])
    by_measure = values.groupby("measure")["value"].mean()
    assert by_measure["precision_at_k"] == 0.5
    assert by_measure["normalised_entropy"] == pytest.approx(0.3)
    assert by_measure["deletion"] == 0.9  # what was judged by the operator that made it does not count
    assert by_measure["exact"] == 0.5
    assert len(values[values["measure"] == "precision_at_k"]) == 2  # a value a seed, whatever the number of links
    assert set(values["context"]) == {"fire"}
    with pytest.raises(InputError, match="clause a: expected an example with this id, found none"):
        contexts.gather_values(tables, [])


def make_distances(examples, apart, seeds=3):
    """Distances of runs of two strategies: two seeds of one lie 0.1 apart, two strategies ``apart[context]`` more."""
    rng = np.random.default_rng(0)
    runs = [(strategy, seed) for strategy in ("full", "lora") for seed in range(seeds)]
    rows = []
    for clause in examples:
        for (a, i), (b, j) in itertools.combinations(runs, 2):
            value = 0.1 + rng.normal(0, 0.005) + (apart[clause.context] if a != b else 0.0)
            pair = "within" if a == b else "between"
            rows.append(("1m", clause.id, a, i, b, j, value, pair))
    columns = ["scale", "id", "strategy_a", "seed_a", "strategy_b", "seed_b", "jensen_shannon", "pair"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(method="leave_one_out", baseline="delete", sign="absolute")


def test_strategies_part_in_the_context_where_they_were_planted_apart():
    counts = {("test", "fire"): 12, ("test", "drainage"): 12, ("test", "access"): 3, ("document", "plumbing"): 9}
    examples = [example(f"{c}{i}", split, c) for (split, c), n in counts.items() for i in range(n)]
    apart = {"fire": 0.05, "drainage": 0.0, "access": 0.0, "plumbing": 0.1}
    table = contexts.separate_contexts(make_distances(examples, apart), examples, bootstrap=300, permutations=200)
    rows = table[table["scale"] == "all"].set_index("context")
    assert rows.loc["fire", "ratio"] == pytest.approx(1.5, abs=0.03)
    assert rows.loc["fire", "ratio_low"] > 1.4
    assert rows.loc["drainage", "ratio_low"] < 1 < rows.loc["drainage", "ratio_high"]
    assert rows.loc["plumbing", "ratio"] == pytest.approx(2.0, abs=0.03)
    assert rows.loc["access", "reason"] == "3 clauses, at least 8 are needed"
    assert rows.loc["access", ["ratio_low", "ratio_high", "p_run", "p_clause"]].isna().all()
    whole = rows.loc[contexts.ALL_CONTEXTS].set_index("split")
    assert whole["n_clauses"].to_dict() == {"test": 27, "document": 9}
    assert whole.loc["test", "ratio"] == pytest.approx(1 + 0.5 * 12 / 27, abs=0.03)
    (sentence,) = contexts.describe_separation(table, "full")
    assert sentence.startswith("Runs of full and lora lie 1.2")
    assert "times as far apart as two seeds of one strategy in the known contexts and 2.0" in sentence
    assert sentence.endswith("the interval over clauses lies above 1 in 1 of 2 known contexts.")


def test_without_seeds_or_a_second_strategy_nothing_is_said_of_distances():
    examples = [example(f"a{i}", "test", "fire") for i in range(9)]
    distances = make_distances(examples, {"fire": 0.1}, seeds=1)
    table = contexts.separate_contexts(distances, examples, bootstrap=100, permutations=100)
    assert table["ratio"].isna().all()
    assert table["reason"].str.startswith("a single seed of each strategy").all()
    assert contexts.describe_separation(table, "full") == [
        "full and lora: too few clauses or seeds to say how far apart they are."
    ]
    assert contexts.describe_separation(table, "dora") == []
    assert contexts.separate_contexts(distances.head(0), examples, bootstrap=100, permutations=100).empty
