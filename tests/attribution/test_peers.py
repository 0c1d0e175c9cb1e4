"""Agreement with captum's teacher-forced path, and the six defects of other packages that this one must not have.

Each was measured in November 2026 with torch 2.13, transformers 5.23, captum 0.9.0, inseq 0.7.1.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, PROMPT, RULE

from compliance_xai.attribution.engine import score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.corpus.features import NEUTRAL_WORD, perturb, segment
from compliance_xai.errors import InputError

SHORT = "Doors shall be 760 mm wide, except where Table 3 applies."
TARGET = "width,760 mm"


@pytest.mark.filterwarnings("ignore")  # captum's own
def test_teacher_forced_captum_agrees(tiny):
    attr = pytest.importorskip("captum.attr", reason="captum is a development dependency")
    features = segment(SHORT)
    around = [SHORT[left.end : right.start] for left, right in itertools.pairwise(features)]

    def write(*words):
        inner = "".join(word + gap for word, gap in zip(words, [*around, SHORT[features[-1].end :]], strict=True))
        return PROMPT.format(clause=inner)

    inputs = attr.TextTemplateInput(
        write, values=[feature.text for feature in features], baselines=[NEUTRAL_WORD] * len(features)
    )
    target = torch.tensor([*tiny.tokenizer(TARGET)["input_ids"], tiny.tokenizer.eos_token_id])
    captum = attr.LLMAttribution(attr.FeatureAblation(tiny.model), tiny.tokenizer)
    theirs = captum.attribute(inputs, target=target, forward_in_tokens=False)
    ours = attribute(tiny.model, tiny.tokenizer, SHORT, TARGET, Options(prompt=PROMPT, baseline="mask"))
    np.testing.assert_allclose(ours.scores.T, theirs.token_attr.numpy(), atol=1e-4)
    assert np.abs(ours.scores).max() > 0.01


def test_first_defect_target_tokens_are_not_fed_into_a_cache_again(qwen2):
    """captum's default path; ours equals scoring token by token without a cache."""
    ids = qwen2.tokenizer(PROMPT.format(clause=SHORT))["input_ids"]
    expected = []
    for token in [*qwen2.tokenizer(TARGET)["input_ids"], qwen2.tokenizer.eos_token_id]:
        with torch.no_grad():
            logits = qwen2.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        expected.append(torch.log_softmax(logits.double(), -1)[token].item())
        ids = [*ids, token]
    found = attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, Options(prompt=PROMPT)).baseline_log_probs
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_second_defect_half_precision_does_not_round_scores_to_nothing(qwen2):
    """captum kept log-probabilities in bfloat16: near -100 all attributions became 0 or multiples of half a nat."""
    half = copy.deepcopy(qwen2.model).to(torch.bfloat16)
    with torch.no_grad():
        half.lm_head.weight.mul_(100)
    result = attribute(half, qwen2.tokenizer, SHORT, TARGET)
    assert result.baseline_log_probs.min() < -60
    assert result.scores.dtype == np.float32
    # The totals near -200 would be rounded to whole nats.
    whole = result.baseline_log_probs.sum()
    totals = torch.tensor([whole, *(whole - result.scores.sum(axis=1))])
    assert whole < -120
    rounded = (totals.bfloat16()[0] - totals.bfloat16()[1:]).float().numpy()
    assert np.abs(rounded - result.scores.sum(axis=1)).max() > 0.2
    assert (result.scores.sum(axis=1) != 0).mean() > 0.9


@pytest.mark.parametrize("baseline", ["delete", "mask"])
def test_third_defect_signs_are_kept(tiny, baseline):
    """inseq's occlusion takes ``abs()``, and its value zeroing fails on Llama."""
    scores = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE, Options(baseline=baseline)).scores
    assert (scores > 0).mean() > 0.1
    assert (scores < 0).mean() > 0.1


@pytest.mark.parametrize("clause", ["  Doors \n\n shall\topen ", "\u00a0A  door\r\n", "a\u2003b  ", "\tb) 1.2 m "])
def test_fourth_defect_white_space_stays(qwen2, clause):
    """shap's masker collapses white space and context-cite drops it at the ends, with nothing masked."""
    features = segment(clause)
    for baseline in ("delete", "mask"):
        assert perturb(clause, features, [True] * len(features), baseline=baseline) == clause
    result = attribute(qwen2.model, qwen2.tokenizer, clause, TARGET)
    whole = score_texts(qwen2.model, qwen2.tokenizer, [clause], TARGET)[0]
    np.testing.assert_allclose(result.baseline_log_probs, whole, atol=1e-5)
    stripped = score_texts(qwen2.model, qwen2.tokenizer, [" ".join(clause.split())], TARGET)[0]
    assert np.abs(whole - stripped).max() > 1e-4


def test_fifth_defect_nothing_is_added_to_the_model_and_nothing_is_cut(qwen2):
    """interpreto adds a token with a random embedding, and truncates in silence."""
    weights = {name: value.clone() for name, value in qwen2.model.state_dict().items()}
    size = len(qwen2.tokenizer)
    for method in ("leave_one_out", "integrated_gradients"):
        attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, Options(method=method, baseline="delete"))
    assert len(qwen2.tokenizer) == size
    after = qwen2.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    for method in ("leave_one_out", "integrated_gradients"):
        with pytest.raises(InputError, match=r"tokens, \d+ too many.*nothing is cut off"):
            attribute(qwen2.model, qwen2.tokenizer, SHORT * 20, TARGET, Options(method=method))


def test_sixth_defect_prompt_and_target_do_not_merge(qwen2):
    """Scorers that join strings explain other tokens: here ``greaterThan`` is cut elsewhere."""
    prompt, target = "{clause} greater", "ThanEqual(door"
    tokenizer = qwen2.tokenizer
    head, tail = (tokenizer(text)["input_ids"] for text in (prompt.format(clause=SHORT), target))
    assert tokenizer(prompt.format(clause=SHORT) + target)["input_ids"] != head + tail
    with torch.no_grad():
        logits = qwen2.model(input_ids=torch.tensor([head + tail])).logits[0]
    expected = [
        torch.log_softmax(logits[len(head) - 1 + step].double(), -1)[token].item() for step, token in enumerate(tail)
    ]
    found = attribute(qwen2.model, tokenizer, SHORT, target, Options(prompt=prompt)).baseline_log_probs
    np.testing.assert_allclose(found[:-1], expected, atol=1e-4)
