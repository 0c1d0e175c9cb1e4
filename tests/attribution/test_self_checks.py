import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, RULE, build_model

from compliance_xai.attribution import passes, self_checks
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.self_checks import SelfCheckError, self_check
from compliance_xai.errors import InputError
from compliance_xai.records import Example

EXAMPLE = Example("syn-1", CLAUSE, RULE, "fire", "test")


def test_sound_models_pass(tiny):
    found = self_check(tiny.model, tiny.tokenizer, EXAMPLE, Options(batch_tokens=900))
    assert [check.name for check in found] == [
        "batched_equals_single",
        "cached_equals_uncached",
        "null_feature",
        "planted_feature",
        "efficiency",
    ]
    assert all(check.passed and check.id == "syn-1" for check in found)
    assert max(check.deviation for check in found) < 2e-5


def test_a_cache_that_leaks_is_caught(qwen2, monkeypatch):
    inner = passes.split_chunks

    def leaking(branches, most, call):
        # Rows that start one position late read a token of the chunk before as their own.
        chunks = list(inner(branches, 300, call))
        assert len(chunks) > 2
        for start, chunk in chunks:
            yield start + (start > 0), chunk

    monkeypatch.setattr(passes, "split_chunks", leaking)
    monkeypatch.setattr(passes, "_measure", lambda *_: "")  # so that the leak gets past the engine's own comparison
    with pytest.raises(SelfCheckError, match=r"cached_equals_uncached on clause syn-1: deviation") as e:
        self_check(qwen2.model, qwen2.tokenizer, EXAMPLE)
    passed = {check.name: check.passed for check in e.value.checks}
    assert not passed["cached_equals_uncached"]
    assert not passed["batched_equals_single"]


def test_padding_that_leaks_is_caught(tokenizer, monkeypatch):
    model = build_model("qwen2", len(tokenizer))
    inner = passes.last_hidden

    def leaking(model, ids, **options):
        # As with left padding and no mask: rows shorter than the longest are read at shifted positions.
        shifts = (ids.flip(1) != 0).int().argmax(1).tolist()
        hidden = inner(model, torch.stack([row.roll(n) for row, n in zip(ids, shifts, strict=True)]), **options)
        return torch.stack([row.roll(-n, 0) for row, n in zip(hidden, shifts, strict=True)])

    monkeypatch.setattr(passes, "last_hidden", leaking)
    monkeypatch.setattr(passes, "_measure", lambda *_: "no")
    with pytest.raises(SelfCheckError, match=r"self-check failed: batched_equals_single on clause syn-1: dev"):
        self_check(model, tokenizer, EXAMPLE)


def test_a_solver_that_mixes_features_up_is_caught(qwen2, monkeypatch):
    monkeypatch.setattr(self_checks.methods, "leave_one_out", lambda lp: np.roll(lp[0] - lp[1:], 1, axis=0))
    with pytest.raises(SelfCheckError, match=r"planted_feature on clause syn-1: deviation 3 nats, at most 0.0001"):
        self_check(qwen2.model, qwen2.tokenizer, EXAMPLE)


@pytest.mark.parametrize("baseline", ["delete", "mask"])
def test_a_neutral_word_in_the_middle_is_no_failure(qwen2, baseline, monkeypatch):
    example = dataclasses.replace(EXAMPLE, clause="Where a door opens it shall be wide now.")
    assert all(check.passed for check in self_check(qwen2.model, qwen2.tokenizer, example, Options(baseline=baseline)))
    monkeypatch.setattr(self_checks.methods, "leave_one_out", lambda lp: np.roll(lp[0] - lp[1:], 1, axis=0))
    with pytest.raises(SelfCheckError, match=r"planted_feature on clause syn-1: deviation 3 nats"):
        self_check(qwen2.model, qwen2.tokenizer, example, Options(baseline=baseline))


def test_a_clause_in_which_nothing_can_be_checked_is_named(qwen2):
    with pytest.raises(InputError, match=r"clause syn-1: expected a word that the baseline changes, found 'it, it'"):
        self_check(
            qwen2.model, qwen2.tokenizer, dataclasses.replace(EXAMPLE, clause="it, it"), Options(baseline="mask")
        )
    with pytest.raises(InputError, match=r"clause syn-1: .*found nothing before the target's first token"):
        self_check(
            qwen2.model, qwen2.tokenizer, dataclasses.replace(EXAMPLE, clause="Doors open"), Options(prompt="{clause}")
        )


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
