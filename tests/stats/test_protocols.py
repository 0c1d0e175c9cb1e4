import pandas as pd
import pytest

from compliance_xai.stats.protocols import pick_checkpoints
from compliance_xai.study.claim_settings import PROTOCOLS

LOSSES = {
    "full": [0.50, 0.20, 0.10, 0.12],
    "lora": [0.60, 0.40, 0.25, 0.21],
    "qlora": [0.90, 0.70, 0.50, 0.40],
}


def frame(losses=LOSSES, seed=0, **steps):
    return pd.DataFrame(
        {"scale": "1m", "strategy": name, "seed": seed, "step": 10 * (index + 1), "loss": loss,
         "pairs": 8 * 10 * (index + 1) * steps.get(name, 1)}
        for name, values in losses.items()
        for index, loss in enumerate(values)
    )  # fmt: skip


def picked(losses, protocol, tolerance=0.1):
    picks = pick_checkpoints(losses, [protocol], tolerance=tolerance)
    return picks.set_index("strategy")


def test_matched_compute_takes_the_last_and_marks_who_saw_more():
    assert picked(frame(), "matched_compute")["step"].to_dict() == {"full": 40, "lora": 40, "qlora": 40}
    assert picked(frame(), "matched_compute")["reached"].all()
    more = picked(frame(full=2), "matched_compute")
    assert more["reached"].to_dict() == {"full": False, "lora": True, "qlora": True}
    assert more.loc["full", "reason"] == "saw 640 pairs, another strategy 320"


def test_best_takes_the_lowest_loss_of_each():
    best = picked(frame(), "best")
    assert best["step"].to_dict() == {"full": 30, "lora": 40, "qlora": 40}
    assert best["loss"].to_dict() == {"full": 0.10, "lora": 0.21, "qlora": 0.40}


def test_matched_loss_meets_at_the_lowest_loss_that_all_reach_and_fakes_nothing():
    matched = picked(frame(), "matched_loss")
    assert set(matched["target"]) == {0.40}
    assert matched["step"].to_dict() == {"full": 10, "lora": 20, "qlora": 40}
    assert matched["reached"].to_dict() == {"full": False, "lora": True, "qlora": True}
    assert matched.loc["full", "reason"] == "nearest loss 0.5000, 25% from 0.4000"
    assert picked(frame(), "matched_loss", tolerance=0.3)["reached"].all()


def test_a_loss_that_is_no_number_is_never_picked_where_there_is_one():
    nan = float("nan")
    some = frame(LOSSES | {"full": [0.5, nan, 0.41, nan], "lora": [nan] * 4})
    for protocol, step in (("best", 30), ("matched_loss", 30)):
        picks = picked(some, protocol)
        assert picks.loc["full", "step"] == step
        assert picks["reached"].to_dict() == {"full": True, "lora": False, "qlora": True}
        assert picks.loc["lora", "reason"] == "its loss is not a number"
    assert picked(some, "matched_compute")["reached"].to_dict() == {"full": False, "lora": False, "qlora": True}


def test_every_scale_and_seed_is_matched_by_itself():
    other = frame({name: [2 * loss for loss in values] for name, values in LOSSES.items()}, seed=1)
    picks = pick_checkpoints(pd.concat([frame(), other]), PROTOCOLS, tolerance=0.1)
    assert len(picks) == 3 * 3 * 2
    targets = picks[picks["protocol"] == "matched_loss"].groupby("seed")["target"].first()
    assert targets.to_dict() == {0: 0.40, 1: 0.80}
    with_one = pick_checkpoints(frame({"full": LOSSES["full"]}), ["matched_loss"], tolerance=0.1)
    assert with_one[["step", "loss"]].values.tolist() == [[30, 0.10]]


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(KeyError):
        pick_checkpoints(frame(), ["fair"], tolerance=0.1)
