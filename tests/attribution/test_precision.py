import numpy as np
import pytest
import torch
from tiny_checkpoints import make_model, make_tokenizer

from compliance_xai.attribution.explain import attribute_many
from compliance_xai.attribution.precision import CHANGES, compare_pair, make_forms, precision_frame, summarise_precision
from compliance_xai.models.loading import load_base
from compliance_xai.models.strategies import apply_strategy, load_trained, save_trained
from compliance_xai.records import Example
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import StrategySettings

IDS = torch.arange(3, 43)[None]


@pytest.fixture(scope="module")
def rungs(tmp_path_factory):
    made = {}
    for architecture in ("qwen2", "llama"):
        folder = tmp_path_factory.mktemp("rungs") / architecture
        tokenizer = make_tokenizer(bos=architecture == "llama")
        model = make_model(architecture, len(tokenizer))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[architecture] = Rung(architecture, str(folder), model.num_parameters())
    return made


def trained(rung, kind, folder):
    """A model whose adapters were moved as a training would, saved and loaded as a study does."""
    settings = StrategySettings(kind=kind, **({} if kind == "full" else {"rank": 4}))
    model = apply_strategy(load_base(rung, quantised=kind == "qlora"), settings, seed=0)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.03 * torch.randn_like(parameter))
    save_trained(model, folder)
    return load_trained(rung, settings, folder)


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


def test_qlora_is_attributed_on_its_quantised_base_with_adapters_apart(rungs, tmp_path):
    model, _ = trained(rungs["qwen2"], "qlora", tmp_path)
    names = dict(model.named_parameters())
    base = names["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert base.dtype == torch.uint8
    assert hasattr(base, "quant_state")
    assert not any(getattr(module, "merged", False) for module in model.modules())


def test_writing_out_changes_rounding_only_and_merging_into_4_bits_more(rungs, tmp_path):
    model, _ = trained(rungs["qwen2"], "qlora", tmp_path)
    before = logits(model)
    away = {name: float((logits(form) - before).abs().max()) for name, form in make_forms(model)}
    assert list(away) == ["dequantised", "merged", "merged_4bit", "bfloat16"]
    assert away["dequantised"] < 1e-4
    assert away["merged"] < 1e-4
    assert away["merged_4bit"] > 10 * away["merged"]
    assert away["bfloat16"] > 10 * away["merged"]
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(("kind", "forms"), [("lora+", ["merged", "bfloat16"]), ("full", ["bfloat16"])])
def test_unquantised_models_have_fewer_other_forms(rungs, tmp_path, kind, forms):
    model, _ = trained(rungs["llama"], kind, tmp_path)
    before = logits(model)
    away = {name: float((logits(form) - before).abs().max()) for name, form in make_forms(model)}
    assert list(away) == forms
    assert set(away) <= set(CHANGES)
    assert away.get("merged", 0.0) < 1e-4 < away["bfloat16"]


def test_the_frame_compares_clause_by_clause(rungs, tmp_path):
    model, tokenizer = trained(rungs["qwen2"], "qlora", tmp_path)

    clauses = [Example("c0", "A door shall be wide: 0.", "wide(0)", "access", "train")]
    clauses.append(Example("c1", "A door shall be very wide: 1.", "wide(1)", "access", "train"))

    def attribute(form):
        return list(attribute_many(form, tokenizer, clauses))

    frame = precision_frame(model, attribute)
    assert list(frame.groupby("change", sort=False)["id"].apply(list)) == [["c0", "c1"]] * 4
    exact = frame[frame["change"] == "dequantised"]
    assert (exact["largest_score"] < 1e-3).all()
    assert exact["same_word"].all()
    a, b = attribute(model)[0], attribute(dict(make_forms(model))["merged_4bit"])[0]
    row = frame[(frame["change"] == "merged_4bit") & (frame["id"] == "c0")].iloc[0]
    assert row["log_prob"] == pytest.approx(float(b.baseline_log_probs.sum() - a.baseline_log_probs.sum()), abs=1e-4)
    assert row["largest_score"] == pytest.approx(float(np.abs(b.scores - a.scores).max()), abs=1e-6)
    shares = [np.abs(one.scores).sum(1) / np.abs(one.scores).sum() for one in (a, b)]
    middle = (shares[0] + shares[1]) / 2
    divergence = np.mean([np.sum(share * np.log2(share / middle)) for share in shares])
    assert row["distance"] == pytest.approx(np.sqrt(divergence), abs=1e-4)
    assert compare_pair(a, a)["log_prob"] == compare_pair(a, a)["distance"] == 0
    summary = summarise_precision([frame.assign(seed=0)], by=("seed",)).set_index("change")
    assert summary.loc["merged_4bit", "n_clauses"] == 2
    assert summary.loc["merged_4bit", "largest_score"] == frame[frame["change"] == "merged_4bit"]["largest_score"].max()
    assert summarise_precision([], by=("seed",)).empty
