import shutil

import pytest
import torch

from compliance_xai.errors import InputError
from compliance_xai.models import Rung, load_base, load_ladder, load_tokenizer


def test_quantisation_changes_the_model_but_little(rungs):
    ids = torch.arange(3, 43)[None]
    with torch.inference_mode():
        exact = load_base(rungs["llama"]).eval()(input_ids=ids).logits
        rounded = load_base(rungs["llama"], quantised=True).eval()(input_ids=ids).logits
    assert 0 < (exact - rounded).std() < 0.5 * exact.std()


def test_pickled_weights_are_refused(rungs, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(rungs["qwen2"].path, folder)
    torch.save(load_base(rungs["qwen2"]).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"rung 'x'.*expected a Hugging Face causal language model .* safetensors"):
        load_base(Rung("x", str(folder), 1))


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match="rung 'empty'"):
        load_tokenizer(Rung("empty", str(tmp_path), 1))


LADDER = """\
name: mine
rungs:
- {name: big, path: Some/hub-model, parameters: 500, revision: abc}
- {name: small, path: here, parameters: 5}
"""


def test_a_ladder_lists_its_rungs_by_size_with_folders_resolved(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "ladder.yaml").write_text(LADDER, encoding="utf-8")
    ladder = load_ladder(tmp_path)
    assert [rung.name for rung in ladder.rungs] == ["small", "big"]
    assert ladder.rung("small").path == str(tmp_path / "here")
    assert ladder.rung("small").is_local
    assert not ladder.rung("big").is_local
    with pytest.raises(InputError, match="expected one of its rungs: small, big, found 'tiny'"):
        ladder.rung("tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rungs: []", "expected keys 'name' and 'rungs'"),
        ("rungs: [{name: a, path: b}]", "expected rungs with name, path and parameters"),
        ("rungs: [{name: a, path: nowhere, parameters: 1}]", "expected a folder beside the file, or a hub id"),
        ("rungs: [{name: a, path: b/c, parameters: 1, colour: red}]", r"found \['colour', 'name'"),
    ],
)
def test_a_bad_ladder_is_explained(tmp_path, text, message):
    (tmp_path / "ladder.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_ladder(tmp_path)


def test_an_unknown_ladder_lists_the_shipped_ones():
    with pytest.raises(InputError, match="one of the shipped ladders"):
        load_ladder("no-such-ladder")
