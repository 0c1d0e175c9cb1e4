"""What a caller does besides, or has switched on, changes no score."""

import copy
import threading

import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, RULE, build_model

from compliance_xai.attribution import engine
from compliance_xai.attribution.engine import score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.errors import InputError

SHORT, TARGET = "Doors shall be wide.", "door.width"


def test_two_threads_that_score_one_model_take_turns(tokenizer, monkeypatch):
    model = build_model("gpt2", len(tokenizer)).train()  # with dropout, were it on
    texts = {"first": [CLAUSE, "Doors."], "second": [CLAUSE[6:], "Walls."]}
    alone = {name: score_texts(model, tokenizer, texts[name], RULE) for name in texts}
    attention = model.config._attn_implementation
    first_inside, second_inside, first_done = threading.Event(), threading.Event(), threading.Event()
    found, inner = {}, engine.choose_path

    def choose(*given):
        if threading.current_thread().name == "first":
            first_inside.set()
            second_inside.wait(0.5)  # it must not come in; this is how long it is given
        else:
            second_inside.set()
            first_done.wait(60)
        return inner(*given)

    def run():
        name = threading.current_thread().name
        found[name] = score_texts(model, tokenizer, texts[name], RULE)
        if name == "first":
            first_done.set()

    monkeypatch.setattr(engine, "choose_path", choose)
    threads = [threading.Thread(target=run, name=name) for name in texts]
    threads[0].start()
    assert first_inside.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join()
    for name in texts:
        np.testing.assert_allclose(found[name], alone[name], atol=1e-5)
    assert model.training
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("method", ["leave_one_out", "integrated_gradients"])
def test_autocast_is_left(qwen2, method):
    usual = attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, Options(method=method))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, Options(method=method))
        assert torch.is_autocast_enabled("cpu")
    np.testing.assert_allclose(cast.scores, usual.scores, atol=1e-6)
    np.testing.assert_allclose(cast.baseline_log_probs, usual.baseline_log_probs, atol=1e-6)


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_gradients_are_taken_inside_inference_mode(qwen2, dtype):
    options = Options(method="integrated_gradients", dtype=dtype)
    usual = attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, options)
    with torch.inference_mode():
        inside = attribute(qwen2.model, qwen2.tokenizer, SHORT, TARGET, options)
    np.testing.assert_allclose(inside.scores, usual.scores, atol=1e-6)
    assert np.abs(usual.scores).max() > 0.001


def test_weights_made_in_inference_mode_have_no_gradients(tokenizer):
    with torch.inference_mode():
        model = build_model("qwen2", len(tokenizer))
    left_out = attribute(model, tokenizer, SHORT, TARGET)
    assert np.isfinite(left_out.scores).all()
    with pytest.raises(
        InputError, match=r"model: expected weights that gradients can .*found weights made in torch's inf"
    ):
        attribute(model, tokenizer, SHORT, TARGET, Options(method="integrated_gradients"))
    copied = attribute(model, tokenizer, SHORT, TARGET, Options(method="integrated_gradients", dtype="float32"))
    plain = attribute(
        copy.deepcopy(build_model("qwen2", len(tokenizer))),
        tokenizer,
        SHORT,
        TARGET,
        Options(method="integrated_gradients"),
    )
    np.testing.assert_allclose(copied.scores, plain.scores, atol=1e-6)
