"""Rows shared out among threads, and what all rows share read once: the same numbers, computed another way."""

import numpy as np
import pytest
import torch
from test_engine import reference_log_probs
from tiny_models import CLAUSE, PROMPT, RULE, build_model

from compliance_xai.attribution import packed, paths, workers
from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.corpus.features import perturb, segment

FEATURES = segment(CLAUSE)
LONG = "An instruction that stands before every clause and that all rows begin with. " + PROMPT


def leave_one_out_masks():
    return np.vstack([np.ones(len(FEATURES), bool), ~np.eye(len(FEATURES), dtype=bool)])


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def many_workers(two_threads, monkeypatch):
    monkeypatch.setattr(workers, "SIZES", (0, 2**25))
    monkeypatch.setattr(workers, "FEWEST", 1)


def score(case, masks, **options):
    return score_masks(case.model, case.tokenizer, CLAUSE, RULE, masks, prompt=PROMPT, **options)


def test_workers_change_no_number_and_compute_nothing_twice(qwen2, many_workers, monkeypatch):
    cost = Cost()
    shared = score(qwen2, leave_one_out_masks(), path="lean", cost=cost)
    assert cost.computed == cost.minimum
    monkeypatch.setattr(paths, "count_workers", lambda *_: 1)
    alone = score(qwen2, leave_one_out_masks(), path="lean")
    np.testing.assert_allclose(shared, alone, atol=1e-5)
    assert np.abs(alone[1:] - alone[0]).max() > 0.01
    assert torch.get_num_threads() == 2


def test_workers_begin_random_masks_anew_at_little_cost(qwen2, many_workers):
    masks = np.random.default_rng(0).random((40, len(FEATURES))) < 0.7
    cost = Cost()
    found = score(qwen2, masks, path="lean", cost=cost)
    assert cost.minimum <= cost.computed <= 1.03 * cost.minimum
    for row in (0, 20, 39):
        text = perturb(CLAUSE, FEATURES, masks[row])
        np.testing.assert_allclose(found[row], reference_log_probs(qwen2.model, qwen2.tokenizer, text, RULE), atol=1e-4)


def test_an_error_in_a_worker_is_raised_and_the_threads_come_back(qwen2, many_workers, monkeypatch):
    score(qwen2, leave_one_out_masks(), path="lean")
    real = paths.run_lean

    def fail(model, work):
        if len(work.targets_RT) > 1:
            raise RuntimeError("no memory")
        return real(model, work)

    monkeypatch.setitem(paths._FORWARDS, "lean", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        score(qwen2, leave_one_out_masks(), path="lean")
    assert torch.get_num_threads() == 2


def test_who_gets_workers(qwen2, two_threads, monkeypatch):
    branches = paths.grow_tree([(1, 2, *range(10, 600)), (1, 3, *range(10, 600)), (1, 4, *range(10, 600))], (5, 0))
    assert workers.count_workers(qwen2.model, branches) == 1, "the smallest models gain nothing"
    monkeypatch.setattr(workers, "SIZES", (0, 2**25))
    assert workers.count_workers(qwen2.model, branches) == 2
    assert workers.count_workers(qwen2.model, branches[:2]) == 1
    qwen2.model.model.layers[0]._hf_hook = object()
    try:
        assert workers.count_workers(qwen2.model, branches) == 1, "hooks are not made for several threads"
    finally:
        del qwen2.model.model.layers[0]._hf_hook
    torch.set_num_threads(1)
    assert workers.count_workers(qwen2.model, branches) == 1


@pytest.mark.parametrize(
    ("family", "path", "splits"),
    [("qwen2", "lean", True), ("llama", "packed", True), ("gpt2", "packed", True), ("gemma2", "packed", False),
     ("mistral", "lean", False)],
)  # fmt: skip
def test_a_common_beginning_is_read_once_where_attention_can_be_parted(tokenizer, family, path, splits, monkeypatch):
    """Neither a window nor a cap on the scores can be parted so."""
    monkeypatch.setattr(packed, "_COMMON", 4)
    monkeypatch.setattr(paths, "_LONG_BEGINNING", 16)
    parted = []
    real = packed._attend_part
    monkeypatch.setattr(packed, "_attend_part", lambda *given: parted.append(given[3] is None) or real(*given))
    model = build_model(family, len(tokenizer), std=0.06)
    texts = [CLAUSE, *(perturb(CLAUSE, FEATURES, mask) for mask in leave_one_out_masks()[1:])]
    cost = Cost()
    found = score_texts(model, tokenizer, texts, RULE, prompt=LONG, path=path, cost=cost)
    assert (sum(parted) > 0) is splits
    assert cost.computed == cost.minimum
    for row in (0, 1, len(texts) - 1):
        expected = reference_log_probs(model, tokenizer, texts[row], RULE, prompt=LONG)
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_parts_of_attention_are_weighed_as_one():
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 30, 8), torch.randn(1, 2, 30, 8)
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    (head, head_size), (tail, tail_size) = (
        packed._attend_part(query, key[:, :, part], value[:, :, part], None, None)
        for part in (slice(0, 20), slice(20, 30))
    )
    share = (head_size - tail_size).sigmoid().unsqueeze(-1)
    torch.testing.assert_close(tail.lerp(head, share), whole, atol=1e-6, rtol=0)
