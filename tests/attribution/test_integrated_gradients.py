import copy

import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, PROMPT

from compliance_xai.attribution import integrated_gradients
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.integrated_gradients import integrate_gradients
from compliance_xai.attribution.options import Options
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import render_spans

SHORT = "Doors shall be 760 mm wide."
TARGET = "door.width,760 mm"


@pytest.fixture(scope="module")
def exact(tokenizer):
    from tiny_models import build_model

    return build_model("llama", len(tokenizer)).double()


def along_feature(model, tokenizer, feature, scale):
    """Log-probabilities with the embeddings of one feature's tokens scaled."""
    ids, spans = render_spans(tokenizer, SHORT, PROMPT)
    target = [*tokenizer(TARGET)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(torch.tensor([ids + target[:-1]])).clone()
        for position, (start, end) in enumerate(spans):
            if start < feature.end and feature.start < end:
                embeddings[0, position] *= scale
        logits = model(inputs_embeds=embeddings).logits[0, len(ids) - 1 :]
        return torch.log_softmax(logits, -1).gather(1, torch.tensor(target)[:, None])[:, 0].numpy()


def test_integrated_gradients_are_the_integral_of_the_slope(exact, tokenizer):
    """One feature alone: the path runs along that feature, so the integral is the difference of its ends."""
    feature = segment(SHORT)[3]
    found = integrate_gradients(exact, tokenizer, SHORT, TARGET, [feature], Options(prompt=PROMPT))
    ends = [along_feature(exact, tokenizer, feature, scale) for scale in (1.0, 0.0)]
    np.testing.assert_allclose(found.scores_FT[0], ends[0] - ends[1], atol=1e-3)


def test_integrated_gradients_add_up(tiny):
    result = attribute(tiny.model, tiny.tokenizer, SHORT, TARGET, Options(method="integrated_gradients"))
    assert result.provenance["efficiency_gap"] < 0.002
    assert result.provenance["baseline"] == "zero_embedding"
    assert np.abs(result.scores.sum(axis=0)).max() > 0.02


def test_points_are_added_until_integrated_gradients_add_up(exact, tokenizer):
    features, options = segment(SHORT), Options(prompt=PROMPT)
    coarse, fine = (
        integrate_gradients(exact, tokenizer, SHORT, TARGET, features, options, steps=4, max_gap=gap).report
        for gap in (10.0, 1e-3)
    )
    assert (coarse["points"], coarse["efficiency_gap"] > 1e-3) == (4, True)
    assert fine["points"] > 4
    assert fine["efficiency_gap"] <= 1e-3
    with pytest.raises(
        InputError, match=r"scores that add up to within 1e-20 nats, found an error of .* with 1024 points"
    ):
        integrate_gradients(
            exact, tokenizer, "A", "b", segment("A"), Options(prompt="{clause}"), steps=1024, max_gap=1e-20
        )


def test_gradients_leave_the_model_as_it_was_and_do_not_depend_on_batches(qwen2):
    model = copy.deepcopy(qwen2.model).train()
    usual = attribute(model, qwen2.tokenizer, SHORT, TARGET, Options(method="integrated_gradients"))
    single = attribute(model, qwen2.tokenizer, SHORT, TARGET, Options(method="integrated_gradients", batch_tokens=1))
    np.testing.assert_allclose(usual.scores, single.scores, atol=1e-5)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    whole = attribute(model, qwen2.tokenizer, SHORT, TARGET).baseline_log_probs
    np.testing.assert_allclose(usual.baseline_log_probs, whole, atol=1e-5)


def test_tokens_shared_by_two_features_are_divided_and_none_is_lost(qwen2):
    ids, spans = render_spans(qwen2.tokenizer, CLAUSE, PROMPT)
    share = integrated_gradients.share_tokens(segment(CLAUSE), spans)
    total = share.sum(axis=0)
    assert set(np.round(total, 9)) == {0.0, 1.0}
    assert share.shape == (len(segment(CLAUSE)), len(ids))
    assert total[: len(qwen2.tokenizer("Clause:")["input_ids"])].sum() == 0
