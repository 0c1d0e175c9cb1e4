"""Code similarity with a tiny random encoder, against a naive reading of its definition."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import make_tokenizer
from transformers import RobertaConfig, RobertaModel

from compliance_xai.errors import InputError
from compliance_xai.rules import metrics
from compliance_xai.rules.code_similarity import load_code_encoder, match_tokens

REFERENCE = "if(exist(ramp)),then(obligation(lessThanEqual(ramp.gradient,1:12)))"
OTHERS = ["if(exist(ramp))", "then(prohibition(exist(lift)))", REFERENCE.replace("1:12", "1:8"), "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder")
    tokenizer = make_tokenizer(bos=True)
    tokenizer.model_max_length = 512
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=42, pad_token_id=1, initializer_range=0.5, **sizes
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return load_code_encoder(str(folder))


def embed_naively(encoder, text):
    """Window by window, one at a time, tokens without the leading <bos>."""
    ids = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    rows = []
    for window in (ids[start : start + 39] for start in range(0, len(ids), 39)):
        with torch.no_grad():
            hidden = encoder.model(input_ids=torch.tensor([[2, *window]])).last_hidden_state[0, 1:]
        rows.extend(row / torch.linalg.vector_norm(row) for row in hidden)
    return rows


def score_naively(encoder, prediction, reference):
    given, wanted = embed_naively(encoder, prediction), embed_naively(encoder, reference)
    precision = sum(max(float(a @ b) for b in wanted) for a in given) / len(given)
    recall = sum(max(float(a @ b) for a in given) for b in wanted) / len(wanted)
    return 2 * precision * recall / (precision + recall), 10 * precision * recall / (9 * precision + recall)


def test_scores_are_those_of_the_definition(encoder):
    assert (encoder.window, encoder.prefix, encoder.suffix) == (40, (2,), ())
    frame = metrics.score_rules(OTHERS, [REFERENCE] * 4, code_encoder=encoder)
    naive = np.array([score_naively(encoder, other, REFERENCE) for other in OTHERS])
    np.testing.assert_allclose(frame[["code_bert_f1", "code_bert_f3"]].to_numpy(), naive, atol=1e-5)
    total = metrics.code_bert_score(OTHERS, [REFERENCE] * 4, encoder)
    assert total == pytest.approx({"f1": naive[:, 0].mean(), "f3": naive[:, 1].mean()}, abs=1e-5)


def test_the_same_text_scores_one_and_batches_do_not_matter(encoder):
    texts = [REFERENCE, *OTHERS]
    assert metrics.code_bert_score(texts, texts, encoder) == pytest.approx({"f1": 1.0, "f3": 1.0}, abs=1e-6)
    for one, other in zip(encoder.encode(texts, batch_size=1), encoder.encode(texts, batch_size=5), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert len(encoder.encode([REFERENCE])[0]) == len(REFERENCE)  # beyond the window, nothing cut off


def test_f1_does_not_ask_which_side_is_which_and_f3_asks_for_recall(encoder):
    forth = metrics.code_bert_score(["exist(ramp)"], [REFERENCE], encoder)
    back = metrics.code_bert_score([REFERENCE], ["exist(ramp)"], encoder)
    assert forth["f1"] == pytest.approx(back["f1"], abs=1e-6)
    assert 0 < forth["f3"] < back["f3"] <= 1


def test_texts_without_tokens():
    nothing, one = np.zeros((0, 3), dtype=np.float32), np.eye(3, dtype=np.float32)[:1]
    assert match_tokens(nothing, nothing) == (1.0, 1.0)
    assert match_tokens(nothing, one) == match_tokens(one, nothing) == (0.0, 0.0)
    assert match_tokens(one, -one) == (0.0, 0.0)


def test_an_encoder_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected the folder of an encoder with its tokenizer and safet"):
        load_code_encoder(str(tmp_path))


def test_pickled_and_missing_weights_of_an_encoder_are_refused(folder, encoder, tmp_path):
    pickled, lacking = tmp_path / "pickled", tmp_path / "lacking"
    for place in (pickled, lacking):
        shutil.copytree(folder, place)
    (pickled / "model.safetensors").unlink()
    torch.save(encoder.model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load_code_encoder(str(pickled))
    stored = load_file(lacking / "model.safetensors")
    stored.pop("encoder.layer.0.attention.self.query.weight")
    save_file(stored, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"found no tensor 'encoder\.layer\.0\.attention\.self\.query\.weight'"):
        load_code_encoder(str(lacking))
