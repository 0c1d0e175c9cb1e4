import json

import pytest
import torch
from tiny_gguf import write_gguf

from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.models.gguf_files import dequantise, prepare_rungs, read_header
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.study.ladders import LadderSettings, Rung, load_ladder


def rung_of(file, tmp_path, **others):
    return Rung("tiny", str(tmp_path / "made"), gguf=str(file), sha256=sha256_file(file), **others)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file whose head is the embeddings in a finer quantisation, dequantised: folder, stored weights."""
    place = tmp_path_factory.mktemp("gguf")
    read = write_gguf(place / "tiny.gguf", name="Tiny AWQ")
    return dequantise(rung_of(place / "tiny.gguf", place)), read


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_weights_are_those_that_the_file_stands_for(tmp_path, architecture):
    read = write_gguf(tmp_path / "tiny.gguf", architecture=architecture)
    model = load_base(Rung("tiny", str(dequantise(rung_of(tmp_path / "tiny.gguf", tmp_path))), 1))
    for name, parameter in model.named_parameters():
        expected = read["lm_head.weight" if name == "model.embed_tokens.weight" else name]
        assert torch.equal(parameter, expected), name


def test_one_matrix_in_two_quantisations_is_tied_and_the_finer_kept(made):
    folder, read = made
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    model = load_base(Rung("tiny", str(folder), 1))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not torch.equal(read["lm_head.weight"], read["model.embed_tokens.weight"])


def test_a_head_of_its_own_stays_one(tmp_path):
    read = write_gguf(tmp_path / "tiny.gguf", same_head=False)
    model = load_base(Rung("tiny", str(dequantise(rung_of(tmp_path / "tiny.gguf", tmp_path))), 1))
    assert torch.equal(model.lm_head.weight, read["lm_head.weight"])
    assert torch.equal(model.model.embed_tokens.weight, read["model.embed_tokens.weight"])


def test_provenance_states_file_sum_types_and_bits(made):
    folder, _ = made
    found = json.loads((folder / "provenance.json").read_text())
    assert found["file"] == "tiny.gguf"
    assert len(found["sha256"]) == 64
    layers = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    vectors = 2 * (2 * 64 + 64 + 32 + 32) + 64
    assert found["types"] == {"Q5_0": 288 * 64 + layers, "Q8_0": 288 * 64, "F32": vectors}
    bits = (5.5 * (288 * 64 + layers) + 8.5 * 288 * 64 + 32 * vectors) / (2 * 288 * 64 + layers + vectors)
    assert found["bits_per_weight"] == round(bits, 2)
    assert "Q8_0 rather than Q5_0" in found["notes"][0]
    assert "AWQ" in found["notes"][1]


def test_the_tokenizer_and_its_chat_template_come_along(made):
    tokenizer = load_tokenizer(Rung("tiny", str(made[0]), 1))
    assert tokenizer.convert_ids_to_tokens(tokenizer("cab 12")["input_ids"]) == ["c", "ab", "Ġ", "1", "2"]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<eos>", "<pad>")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False) == "a<eos>"


def test_digits_are_cut_off_before_spaces_where_the_model_did_so(tmp_path):
    """SmolLM's own tokenizer splits digits first, which decides where two spaces before a number go."""
    write_gguf(tmp_path / "tiny.gguf", architecture="llama", pre="smollm")
    tokenizer = load_tokenizer(Rung("tiny", str(dequantise(rung_of(tmp_path / "tiny.gguf", tmp_path))), 1))
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  12 b")
    assert [piece for piece, _ in cut] == ["a", "ĠĠ", "1", "2", "Ġb"]


def test_an_unknown_way_of_cutting_text_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", pre="novel")
    with pytest.raises(InputError, match=r"known way before byte-pair encoding, found 'novel'\. Name the model's own"):
        dequantise(rung_of(tmp_path / "tiny.gguf", tmp_path))
    assert not (tmp_path / "made").exists()
    named = rung_of(tmp_path / "tiny.gguf", tmp_path, tokenizer=str(tmp_path / "own"))
    from tiny_checkpoints import make_tokenizer

    make_tokenizer(bos=True).save_pretrained(tmp_path / "own")
    assert load_tokenizer(Rung("tiny", str(dequantise(named)), 1)).bos_token == "<bos>"


def test_a_file_with_another_sum_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    rung = Rung("tiny", str(tmp_path / "made"), gguf=str(tmp_path / "tiny.gguf"), sha256="0" * 64)
    with pytest.raises(InputError, match="expected the file whose SHA-256 is 0000"):
        dequantise(rung)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"GGUF\x03\x00\x00\x00"])
def test_another_or_a_cut_file_is_explained(tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(InputError, match="expected a GGUF file of version 2 or 3"):
        read_header(tmp_path / "x.gguf")


def test_a_study_may_name_a_gguf_file(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(tmp_path))
    write_gguf(tmp_path / "tiny-Q5.gguf", head=None)
    settings = LadderSettings.model_validate({"rungs": [str(tmp_path / "tiny-Q5.gguf")]})
    ladder = load_ladder(settings)
    assert [rung.name for rung in ladder.absent] == ["tiny_Q5"]
    assert ladder.absent[0].path == str(tmp_path / "external" / "models" / sha256_file(tmp_path / "tiny-Q5.gguf")[:16])
    prepare_rungs(ladder, ["tiny_Q5"])
    (rung,) = load_ladder(settings).rungs
    assert (rung.shape.hidden_size, rung.shape.tied) == (64, True)
    assert rung.parameters == sum(p.numel() for p in load_base(rung).parameters())
