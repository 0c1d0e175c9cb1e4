import math

import numpy as np
import pandas as pd
import pytest

from compliance_xai.records import Example
from compliance_xai.stats import contexts

CELL = {"scale": "1m", "parameters": 1_000_000, "strategy": "full", "baseline": "delete"}


def example(identifier, split, context):
    return Example(identifier, "clause", "rule", context, split)


def make_values(known, held_out, strategy="full", measure="log_words", seed=0):
    rows = [(f"t{i}", "test", "fire", value) for i, value in enumerate(known)]
    rows += [(f"d{i}", "document", "plumbing", value) for i, value in enumerate(held_out)]
    frame = pd.DataFrame(rows, columns=["id", "split", "context", "value"]).assign(seed=seed, measure=measure)
    return frame.assign(**CELL | {"strategy": strategy})


def test_a_difference_with_its_interval_is_welch_s():
    known, held_out = np.linspace(0.4, 0.6, 20), np.linspace(0.7, 0.9, 10)
    row = contexts.compare_held_out(make_values(known, held_out), "test").iloc[0]
    assert (row["n_known"], row["n_held_out"], row["reason"]) == (20, 10, "")
    assert row["difference"] == pytest.approx(0.3)
    error = math.sqrt(known.var() / 20 + held_out.var() / 10)  # within a factor n / (n - 1) of its variances
    assert (row["high"] - row["low"]) / 2 == pytest.approx(2.05 * error, rel=0.05)
    assert math.isnan(row["adjusted"])  # no untouched base to compare with


def test_the_interval_holds_for_other_trainings_too():
    rng = np.random.default_rng(0)
    known, held_out = rng.normal(0.5, 0.01, 40), rng.normal(0.8, 0.01, 40)
    shifts = (-0.2, 0.0, 0.2)
    values = pd.concat([make_values(known, held_out + shift, seed=seed) for seed, shift in enumerate(shifts)])
    row = contexts.compare_held_out(values, "test").set_index("strategy").loc["full"]
    assert row["difference"] == pytest.approx(0.3, abs=0.01)
    assert row["low"] < 0.0 < 0.6 < row["high"]  # three trainings, 0.2 apart: 4.3 * 0.2 / sqrt(3) = 0.5


def test_what_the_base_does_is_taken_off_clause_by_clause():
    known, held_out = np.linspace(0.4, 0.6, 20), np.linspace(0.7, 0.9, 10)
    # The base finds the held-out clauses just as much harder: nothing is left of the difference.
    values = pd.concat([make_values(known, held_out), make_values(known + 0.1, held_out + 0.1, "none")])
    table = contexts.compare_held_out(values, "test").set_index("strategy")
    assert table.loc["full", "difference"] == pytest.approx(0.3)
    assert table.loc["full", "adjusted"] == pytest.approx(0.0)
    assert math.isnan(table.loc["none", "adjusted"])
    assert table.loc["trained", "difference"] == pytest.approx(0.3)


@pytest.mark.parametrize("held_out", [[], [0.5] * 7, [np.nan] * 20])
def test_few_clauses_give_no_interval(held_out):
    table = contexts.compare_held_out(make_values([0.5] * 20, held_out), "test")
    n = sum(not math.isnan(value) for value in held_out)
    assert table["reason"].iloc[0] == f"{n} clauses, at least 8 are needed"
    assert table["difference"].isna().all()
    assert contexts.describe_held_out(table, "log_words").endswith(f"no interval ({n} clauses, at least 8 are needed).")


def test_a_sentence_counts_cells_by_direction():
    up, same = make_values([0.3, 0.5] * 10, [0.8, 0.9] * 5), make_values([0.4, 0.6] * 10, [0.4, 0.6] * 5)
    base = make_values([0.1] * 20, [0.9] * 10, "none")
    table = contexts.compare_held_out(pd.concat([up, same.assign(strategy="lora"), base]), "test")
    sentence = contexts.describe_held_out(table, "log_words")
    assert "0.68 in the held-out context and 0.45 elsewhere" in sentence
    assert "higher in 1, not shown to differ in 1 of 2 fine-tuned cells" in sentence
    assert contexts.describe_held_out(table, "exact") == "Exact match: not measured."


def test_links_of_a_clause_are_one_value():
    keys = {name: CELL[name] for name in ("scale", "parameters", "strategy")}
    common = pd.DataFrame([{**keys, "baseline": "delete", "seed": seed, "id": "a"} for seed in (0, 1)])
    tables = {
        "focus": common.assign(sign="net", effective_number=[1.0, math.e], top_3_mass=0.5),
        "categories": common.assign(sign="net", category="numerical_constraint", log_lift=1.0),
        "gold": pd.concat([common.assign(sign="net", precision_at_k=value) for value in (0.0, 1.0)]),
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
    assert by_measure["log_words"] == pytest.approx(0.5)
    assert by_measure["deletion"] == 0.9  # what was judged by the operator that made it does not count
    assert by_measure["exact"] == 0.5
    assert len(values[values["measure"] == "precision_at_k"]) == 2  # a value a seed, whatever the number of links
    assert set(values["context"]) == {"fire"}


def make_shares(examples, apart, seeds=4, words=8):
    """Patterns of runs of two strategies, tilted apart by context."""
    rng = np.random.default_rng(0)
    rows = []
    for clause in examples:
        base, tilt = rng.normal(size=words), rng.normal(size=words)
        for strategy in ("full", "lora"):
            for seed in range(seeds):
                log = base + (strategy == "full") * apart[clause.context] * tilt + rng.normal(0, 0.3, words)
                share = np.exp(log) / np.exp(log).sum()
                place = {"scale": "1m", "strategy": strategy, "seed": seed, "id": clause.id, "split": clause.split}
                rows.append(pd.DataFrame(place | {"feature": range(words), "share": share}))
    return pd.concat(rows, ignore_index=True).assign(method="leave_one_out", baseline="delete", sign="net")


def test_strategies_part_in_the_context_where_they_were_planted_apart():
    counts = {("test", "fire"): 20, ("test", "drainage"): 20, ("test", "access"): 3, ("document", "plumbing"): 20}
    examples = [example(f"{c}{i}", split, c) for (split, c), n in counts.items() for i in range(n)]
    apart = {"fire": 1.0, "drainage": 0.0, "access": 0.0, "plumbing": 2.0}
    table = contexts.separate_contexts(make_shares(examples, apart), examples, permutations=200)
    rows = table[table["scale"] == "all"].set_index("context")
    assert rows.loc["fire", "ratio_low"] > 1.4
    assert rows.loc["drainage", "ratio_low"] < 1 < rows.loc["drainage", "ratio_high"]
    assert rows.loc["plumbing", "ratio"] > rows.loc["fire", "ratio"]
    assert rows.loc["access", "reason"] == "3 clauses, at least 8 are needed"
    assert rows.loc["access", ["ratio_low", "ratio_high", "p_runs", "share_low"]].isna().all()
    whole = rows.loc[contexts.ALL_CONTEXTS].set_index("split")
    assert whole["n_clauses"].to_dict() == {"test": 43, "document": 20}
    (sentence,) = contexts.describe_separation(table, "full")
    assert sentence.startswith("Runs of full fine-tuning and LoRA are ")
    assert "times as far apart as two seeds of one strategy in the known contexts and " in sentence
    assert sentence.endswith("the interval is above 1 in 1 of 2 known contexts.")


def test_without_seeds_there_is_no_distance():
    examples = [example(f"a{i}", "test", "fire") for i in range(9)]
    table = contexts.separate_contexts(make_shares(examples, {"fire": 0.1}, seeds=1), examples, permutations=100)
    assert table["ratio"].isna().all()
    assert table["reason"].str.startswith("fewer than two seeds").all()
    assert contexts.describe_separation(table, "full") == [
        "Full fine-tuning and LoRA: too few clauses or seeds for a distance."
    ]
    assert contexts.describe_separation(table, "dora") == []
