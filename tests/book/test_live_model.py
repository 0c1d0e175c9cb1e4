"""The model in the page: the browser's engine must write the same rules and the same scores as the package."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from compliance_xai.book.live_model import pack_model
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.features import perturb, segment
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.pipeline.review import RuleWriter
from compliance_xai.study.ladders import load_ladder

ENGINE = Path(__file__).resolve().parents[2] / "book" / "_static" / "live_engine.js"
NODE = shutil.which("node")
CLAUSES = 50

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

RUN = """
const fs = require("fs");
const { createLiveEngine } = require(process.argv[1]);
const { pack, clauses, texts } = JSON.parse(fs.readFileSync(0, "utf8"));
const engine = createLiveEngine(pack);
const cut = texts.map((text) => engine.cutWords(text).map((word) => [word.text, engine.removeWord(text, word)]));
const found = clauses.map((clause) => engine.explain(clause));
const unseen = engine.unseen("A door of Gips, 20 mm 小于850毫米");
console.log(JSON.stringify({ found, cut, difference: engine.check(), unseen }));
"""


def run_engine(pack, clauses, texts=()):
    given = json.dumps({"pack": pack, "clauses": clauses, "texts": list(texts)})
    done = subprocess.run(
        [NODE, "-e", RUN, "--", str(ENGINE)], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def writer():
    rung = load_ladder("embedded").rung("0.3m")
    return RuleWriter("base", load_base(rung), load_tokenizer(rung))


@pytest.fixture(scope="module")
def clauses():
    return [example.clause for example in load_corpus("synthetic", split="test")][:CLAUSES]


@pytest.mark.slow
def test_the_engine_writes_the_same_rules_and_scores(writer, clauses):
    pack = pack_model(writer, clauses[:2], ["a", "door", "mm", "of"])
    result = run_engine(pack, clauses)
    rules = writer.write(clauses)
    assert [found["rule"] for found in result["found"]] == rules
    for found, clause, rule in zip(result["found"], clauses, rules, strict=True):
        expected = writer.explain(clause, rule)
        assert [word["text"] for word in found["words"]] == [feature.text for feature in expected.features]
        assert [rule[t["start"] : t["end"]] for t in found["tokens"]] == [
            rule[t.start : t.end] for t in expected.target_tokens[:-1]
        ]
        np.testing.assert_allclose(np.array(found["scores"]), expected.scores, atol=0.05)
        np.testing.assert_allclose(found["logProbs"], expected.baseline_log_probs, atol=0.05)
    assert result["difference"] < 0.05
    assert result["unseen"] == ["Gips", "小于850毫米"]


HOSTILE = [
    "",
    "   ",
    'b) Doors (fire) shall be -5 °C, 20% of 14(c) and 1:12; "ramp" self-closing.',
    "(a) (door)",
    "Türen müssen mindestens 0,90 m breit sein.",
    "出口门 的 净宽 不应 小于 850 毫米。",
    "<script>alert(1)</script> & 𝒳 {{ x }}",
]


def test_words_are_cut_and_removed_as_the_package_does(writer, clauses):
    texts = [*clauses[:10], *HOSTILE]
    pack = pack_model(writer, [], [])
    for text, cut in zip(texts, run_engine(pack, [], texts)["cut"], strict=True):
        features = segment(text)
        masks = ~np.eye(len(features), dtype=bool)
        assert cut == [[f.text, perturb(text, features, mask)] for f, mask in zip(features, masks, strict=True)], text


def test_a_wrong_weight_is_noticed(writer, clauses):
    pack = pack_model(writer, clauses[:1], [])
    pack["checks"][0]["scores"][0] += 1.0
    assert run_engine(pack, [])["difference"] > 0.5
    pack["checks"][0]["rule"] += " "
    assert run_engine(pack, [])["difference"] is None  # Infinity has no JSON


def test_a_script_cannot_be_ended_by_a_clause(writer):
    from compliance_xai.book.live_model import _to_json

    text = _to_json({"clause": "</script>"})
    assert "<" not in text
    assert json.loads(text) == {"clause": "</script>"}
