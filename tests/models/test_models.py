import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compliance_xai.errors import InputError
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.strategies import load_trained
from compliance_xai.study.ladders import Rung, load_ladder
from compliance_xai.study.strategy_settings import StrategySettings


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
    with pytest.raises(InputError, match=r"expected weights in safetensors files, found weights in \.bin files"):
        load_base(Rung("x", str(folder), 1))


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match="rung 'empty'"):
        load_tokenizer(Rung("empty", str(tmp_path), 1))


def test_a_checkpoint_with_missing_or_extra_tensors_is_refused(rungs, tmp_path):
    stored = load_file(f"{rungs['qwen2'].path}/model.safetensors")
    lacking = {name: tensor for name, tensor in stored.items() if not name.endswith("norm.weight")}
    reshaped = {name: tensor[:-1] if "embed" in name else tensor for name, tensor in stored.items()}
    for tensors, found in (
        (lacking, r"found no tensor 'model\.layers\.0\.\w+norm\.weight' \(5 in all\)"),
        ({**stored, "surplus.weight": torch.zeros(2)}, r"found the extra tensor 'surplus\.weight' \(1 in all\)"),
        (reshaped, "embed_tokens"),
    ):
        folder = tmp_path / "damaged"
        shutil.copytree(rungs["qwen2"].path, folder, dirs_exist_ok=True)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=found):
            load_base(Rung("damaged", str(folder), 1))


def test_damaged_weights_are_an_input_error(rungs, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(rungs["qwen2"].path, folder)
    file = folder / "model.safetensors"
    for content in (file.read_bytes()[:2000], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"expected a (Hugging Face causal language model|model's weights)"):
            load_base(Rung("cut", str(folder), 1))


def test_a_device_that_is_not_there_is_an_input_error(rungs):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="not compiled with CUDA"):
        load_base(dataclasses.replace(rungs["qwen2"], device_map="cuda:0"))


def test_a_tokenizer_has_to_be_there_and_fit_its_model(rungs, tmp_path):
    folder = tmp_path / "without"
    shutil.copytree(rungs["qwen2"].path, folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    rung = Rung("without", str(folder), 1)
    with pytest.raises(InputError, match="rung 'without'"):
        load_tokenizer(rung)
    load_tokenizer(load_ladder("embedded").rung("0.3m")).save_pretrained(folder)
    with pytest.raises(InputError, match=r"expected a tokenizer of at most [\d,]+ tokens, one for each embedding"):
        load_trained(rung, StrategySettings(kind="none"), None)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError("You are trying to access a gated repo."), "Ask for access"),
        (OSError("401 Client Error"), "Ask for access"),
        (
            OSError("abc is not a valid git identifier (branch name, tag name or commit id)"),
            "There is no such revision",
        ),
        (OSError("404 Client Error: RepositoryNotFound"), "No such model on the hub"),
        (OSError("We couldn't connect to 'https://huggingface.co'"), "The hub was not reached"),
        (
            ValueError("set the option `trust_remote_code=True` to remove this error"),
            "read it, then write trust_remote",
        ),
    ],
)
def test_a_model_that_cannot_be_fetched_says_what_to_do(monkeypatch, error, advice):
    from transformers import AutoTokenizer

    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(InputError, match=f"rung 'x' .some/model.*{advice}"):
        load_tokenizer(Rung("x", "some/model", 1, revision="abc"))


HUB = """
import http.server, os, threading

REPLIES = {"gated": (401, "GatedRepo"), "missing": (401, "RepoNotFound"), "moved": (404, "RevisionNotFound")}

class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        status, error = next((reply for name, reply in REPLIES.items() if name in self.path), (404, "EntryNotFound"))
        self.send_response(status)
        self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_HEAD
    def log_message(self, *_):
        pass

hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=hub.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{hub.server_port}"
from compliance_xai.errors import InputError
from compliance_xai.models.loading import load_base
from compliance_xai.study.ladders import Rung

for name in ("gated", "missing", "moved", "empty"):
    try:
        load_base(Rung("x", f"some/{name}", 1, revision="abc"))
    except InputError as error:
        print(error)
"""


def test_what_the_hubs_own_answers_lead_to(tmp_path):
    environment = os.environ | {
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
    }
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    advice = (
        "Ask for access",
        "No such model on the hub",
        "There is no such revision",
        "This is not a causal language model",
    )
    assert len(said) == len(advice)
    for line, expected in zip(said, advice, strict=True):
        assert expected in line


def test_a_folder_with_code_of_its_own_names_the_setting(rungs, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(rungs["qwen2"].path, folder)
    config = folder / "config.json"
    text = config.read_text(encoding="utf-8").replace('"qwen2"', '"own"')
    config.write_text(
        text.replace("{", '{"auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"},', 1), "utf-8"
    )
    with pytest.raises(InputError, match="read it, then write trust_remote_code: true"):
        load_base(Rung("own", str(folder), 1))


def test_a_models_own_code_runs_only_where_the_rung_says_so_and_is_announced(rungs, capsys):
    rung = rungs["qwen2"]
    load_tokenizer(rung)
    assert capsys.readouterr().err == ""
    load_tokenizer(dataclasses.replace(rung, trust_remote_code=True))
    assert f"running the Python code that comes with {rung.path}" in capsys.readouterr().err
