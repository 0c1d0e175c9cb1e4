import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, RULE

from compliance_xai.attribution import SelfCheckError, attribute, checks, engine, self_check
from compliance_xai.records import Example

EXAMPLE = Example("syn-1", CLAUSE, RULE, "fire", "test")


def test_sound_models_pass(tiny):
    found = self_check(tiny.model, tiny.tokenizer, EXAMPLE, batch_tokens=900)
    assert [check.name for check in found] == [
        "batched_equals_single",
        "null_feature",
        "planted_feature",
        "efficiency",
    ]
    assert all(check.passed and check.id == "syn-1" for check in found)
    assert max(check.deviation for check in found) < 2e-5


def test_padding_that_leaks_is_caught(qwen2, monkeypatch):
    inner = engine._score_batch

    def leaking(model, prompts, target):
        # As with left padding and no mask: rows shorter than the longest are read at shifted positions.
        widest = max(map(len, prompts))
        return inner(model, [(0,) * (widest - len(row)) + tuple(row) for row in prompts], target)

    monkeypatch.setattr(engine, "_score_batch", leaking)
    with pytest.raises(
        SelfCheckError, match=r"self-check failed: batched_equals_single on clause syn-1: deviation"
    ) as e:
        self_check(qwen2.model, qwen2.tokenizer, EXAMPLE)
    assert {check.name: check.passed for check in e.value.checks}["batched_equals_single"] is False


def test_a_solver_that_mixes_features_up_is_caught(qwen2, monkeypatch):
    monkeypatch.setattr(checks._planted_deviation, "__defaults__", (lambda lp: np.roll(lp[0] - lp[1:], 1, axis=0),))
    with pytest.raises(SelfCheckError, match=r"planted_feature on clause syn-1: deviation 3 nats, at most 0.0001"):
        self_check(qwen2.model, qwen2.tokenizer, EXAMPLE)


class Watcher(torch.nn.Module):
    """Predicts anything with equal odds, but the letter ``R`` by two nats more if it has read ``watched``."""

    def __init__(self, vocabulary, watched, favoured):
        super().__init__()
        self.config = type("Config", (), {"vocab_size": vocabulary})()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.watched, self.favoured = watched, favoured

    def forward(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        seen = sum(input_ids.roll(shift, 1) == token for shift, token in enumerate(self.watched[::-1])) == len(
            self.watched
        )
        logits[..., self.favoured] = 2.0 * (seen.cumsum(1) > 0)
        return type("Output", (), {"logits": logits})()


def test_a_dependence_planted_in_a_model_is_found_exactly(tokenizer):
    watched = tokenizer(" 760")["input_ids"]
    favoured = tokenizer("d")["input_ids"][0]
    result = attribute(Watcher(len(tokenizer), watched, favoured), tokenizer, CLAUSE, "ddd")
    word = [feature.text for feature in result.features].index("760")
    n = len(tokenizer)
    gain = 2 - np.log((np.exp(2) + n - 1) / n)
    np.testing.assert_allclose(result.scores[word, :3], gain, atol=1e-5)
    np.testing.assert_allclose(result.scores[word, 3], -np.log((np.exp(2) + n - 1) / n), atol=1e-5)
    assert np.abs(np.delete(result.scores, word, axis=0)).max() == 0.0
