"""The shipped ``evaluate`` modules: the functions' values, loaded without a network, alone and combined."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest

from compliance_xai.errors import InputError
from compliance_xai.rules import metrics
from compliance_xai.rules.measures import MEASURES, combine_measures, load_measure, measure_path

PREDICTIONS = [
    "if(exist(roof)),then(has(roof,gutter))",
    "if(exist(wall",
    "and(exist(b),exist(a))",
    "and(equal(a.width,2 m),complyWith(a,nzs_1))",
]
REFERENCES = [
    "if(exist(roof)),then(has(roof,gutters))",
    "if(exist(wall)),then(exist(roof))",
    "and(exist(a),exist(b))",
    "and(equal(a.width,2000 mm),equal(a.height,3 m),complyWith(a,nzs_2),asPer(a,nzs_1))",
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


class Letters:
    """Stands in for an encoder: unit rows by first letter."""

    def encode(self, texts):
        import numpy as np

        return np.eye(26, dtype=np.float32)[[ord(text[0]) - ord("a") for text in texts]]


class Axes:
    """Stands in for a code encoder: one token per text, the same for all."""

    def encode(self, texts):
        import numpy as np

        return [np.ones((1, 1), dtype=np.float32) for _ in texts]


EXPECTED = {
    "exact_match": {"exact_match": metrics.exact_match(PREDICTIONS, REFERENCES)},
    "parse_rate": {"parse_rate": metrics.parse_rate(PREDICTIONS)},
    "lrml_f1": {f"lrml_{name}": value for name, value in metrics.lrml_f1(PREDICTIONS, REFERENCES).items()},
    "bleu": {"bleu": metrics.bleu(PREDICTIONS, REFERENCES)},
    "chrf": {"chrf": metrics.chrf(PREDICTIONS, REFERENCES)},
    "semantic_similarity": {"semantic_similarity": 1.0},
    "tree_edit_distance": {"tree_edit_distance": metrics.tree_edit_distance(PREDICTIONS, REFERENCES)},
    "token_edit_distance": {"token_edit_distance": metrics.token_edit_distance(PREDICTIONS, REFERENCES)},
    "numeric_fidelity": {"numeric_fidelity": metrics.numeric_fidelity(PREDICTIONS, REFERENCES)},
    "identifier_fidelity": {"identifier_fidelity": metrics.identifier_fidelity(PREDICTIONS, REFERENCES)},
    "equivalence_rate": {"equivalence_rate": metrics.equivalence_rate(PREDICTIONS, REFERENCES)},
    "code_bert_score": {"code_bert_f1": 1.0, "code_bert_f3": 1.0},
}


def settings(name: str) -> dict:
    encoders = {"semantic_similarity": Letters(), "code_bert_score": Axes()}
    return {"encoder": encoders[name]} if name in encoders else {}


@pytest.mark.parametrize("name", MEASURES)
def test_a_module_gives_the_functions_value_and_states_its_range(name):
    module = load_measure(name, **settings(name))
    assert module.compute(predictions=PREDICTIONS, references=REFERENCES) == pytest.approx(EXPECTED[name])
    assert "Range: " in module.description
    assert module.name == name


@pytest.mark.parametrize("name", MEASURES)
def test_plain_evaluate_load_takes_the_folder(name, tmp_path):
    module = evaluate.load(str(measure_path(name)), cache_dir=str(tmp_path), **settings(name))
    module.add_batch(predictions=PREDICTIONS, references=REFERENCES)
    assert module.compute() == pytest.approx(EXPECTED[name])


def test_combine_joins_every_module():
    combined = combine_measures(encoder=Letters(), code_encoder=Axes())  # pyright: ignore[reportArgumentType]
    scores = combined.compute(predictions=PREDICTIONS, references=REFERENCES)
    assert scores == pytest.approx({key: value for each in EXPECTED.values() for key, value in each.items()})
    paths = [str(measure_path(name)) for name in ("exact_match", "lrml_f1")]
    joined = evaluate.combine(paths).compute(predictions=PREDICTIONS, references=REFERENCES)
    assert list(joined) == ["exact_match", "lrml_precision", "lrml_recall", "lrml_f1"]


def test_corpus_scores_go_through_the_modules():
    scores = metrics.corpus_scores(PREDICTIONS, REFERENCES)
    assert not {"semantic_similarity", "code_bert_f1", "code_bert_f3"} & set(scores)
    axes = Axes()
    code = metrics.corpus_scores(PREDICTIONS, REFERENCES, code_encoder=axes)  # pyright: ignore[reportArgumentType]
    assert code["code_bert_f3"] == 1.0
    assert scores["lrml_f1"] == pytest.approx(EXPECTED["lrml_f1"]["lrml_f1"])
    expanded = metrics.corpus_scores(PREDICTIONS, REFERENCES, spelling="intermediate", encoder=Letters())  # type: ignore[arg-type]
    assert expanded["lrml_f1"] == pytest.approx(metrics.lrml_f1(PREDICTIONS, REFERENCES, spelling="intermediate")["f1"])
    assert expanded["semantic_similarity"] == pytest.approx(1.0)
    assert all(type(value) is float for value in expanded.values())


def test_an_unknown_measure_is_refused():
    with pytest.raises(InputError, match=r"expected one of exact_match, .*, found 'rouge'"):
        load_measure("rouge")


def test_importing_the_scores_loads_nothing_heavy():
    heavy = "torch transformers evaluate datasets sacrebleu sentence_transformers pint apted rapidfuzz"
    code = (
        "import sys\n"
        "from compliance_xai import code_similarity, measures, metrics, semantic\n"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
