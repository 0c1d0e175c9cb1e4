"""Elements of a rule: what they rest on, and whether copies rest on the word that spells them."""

import math

import numpy as np

from compliance_xai.attribution.elements import element_frame
from compliance_xai.records import Attribution, Feature, TargetToken, attribution_row

RULE = "lessThan(door.width,900 mm)"


def make_row(scores, words=("Doors", "under", "900", "mm")):
    features = tuple(Feature(10 * i, 10 * i + len(word), word, "other") for i, word in enumerate(words))
    spans = [(0, 8), (9, 13), (14, 19), (20, 23), (24, 26)]  # lessThan, door, width, 900, mm
    tokens = tuple(TargetToken(start, end, RULE[start:end]) for start, end in spans)
    scores = np.array(scores, dtype=np.float32)
    found = Attribution("a", "x" * 50, RULE, features, tokens, scores, np.zeros(5, dtype=np.float32))
    return attribution_row(found, seed=1, baseline="delete", split="test")


def test_mass_of_elements_and_hits_of_copies_by_hand():
    scores = np.zeros((4, 5))
    scores[:, 3] = [0.5, 0.0, 2.0, -1.0]  # towards 900
    scores[0, 1] = 3.0  # towards door
    frame = element_frame([make_row(scores)]).set_index("kind")
    value = frame.loc["value"]
    assert (value["net"], value["absolute"], value["positive"]) == (1.5, 3.5, 2.5)
    assert (value["n_words"], value["n_spelling"], value["hit"], value["chance"]) == (4, 1, 1.0, 0.25)
    assert frame.loc["object", "net"] == 3.0
    assert math.isnan(frame.loc["object", "hit"])


def test_a_copy_that_rests_on_another_word_is_a_miss():
    scores = np.zeros((4, 5))
    scores[:, 3] = [5.0, 0.0, 2.0, 0.0]
    assert element_frame([make_row(scores)]).set_index("kind").loc["value", "hit"] == 0.0


def test_equally_heavy_words_share():
    assert element_frame([make_row(np.zeros((4, 5)))]).set_index("kind").loc["value", "hit"] == 0.25


def test_a_number_that_no_word_spells_is_no_copy():
    frame = element_frame([make_row(np.zeros((4, 5)), words=("Doors", "under", "901", "mm"))]).set_index("kind")
    assert (frame.loc["value", "n_spelling"], math.isnan(frame.loc["value", "hit"])) == (0, True)


def test_nothing_gives_an_empty_frame_with_columns():
    assert {"hit", "net", "kind"} <= set(element_frame([]).columns)
