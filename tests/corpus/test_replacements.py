import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_xai.corpus.counterfactuals import collect_pool, draw_replacements, write_perturbed
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError

CORPUS = [
    "Doors shall be not less than 1.2 m wide.",
    "Where ramps serve a dwelling, handrails must not exceed 900 mm in height, except in Table 3.",
    "Gates may be 20 cm if walls have no length of at least 5 m as shown in NZS 3604.",
]
POOL = collect_pool(CORPUS)
CLAUSE = "Walls shall not be more than 30 km long where Figure 2 applies."


def test_a_pool_has_each_text_as_often_as_the_corpus():
    assert sorted(POOL["number"]) == ["1.2", "20", "5", "900"]
    assert sorted(POOL["unit"]) == ["cm", "m", "m", "mm"]
    assert collect_pool(CORPUS, "phrase")["deontic"] == ["shall", "must", "may"]


def test_replacements_are_other_texts_of_the_category():
    features = segment(CLAUSE)
    for drawn in draw_replacements(CLAUSE, features, POOL, draws=20):
        for feature, text in zip(features, drawn, strict=True):
            assert text.lower() in {known.lower() for known in POOL[feature.category]}
            assert text.lower() != feature.text.lower()
    first = {drawn[0] for drawn in draw_replacements(CLAUSE, features, POOL, draws=20)}
    assert len(first) > 1
    assert all(text[0].isupper() for text in first)  # a sentence still begins with a capital


def test_draws_follow_the_corpus():
    features = segment("12 km")
    units = [drawn[1] for drawn in draw_replacements("12 km", features, POOL, draws=400)]
    assert 0.42 < units.count("m") / 400 < 0.58  # two of the four units in the corpus


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(1, 4), st.data())
def test_a_draw_depends_on_neither_the_mask_nor_the_other_draws(seed, draws, data):
    features = segment(CLAUSE)
    few = draw_replacements(CLAUSE, features, POOL, draws=draws, seed=seed)
    assert draw_replacements(CLAUSE, features, POOL, draws=draws + 2, seed=seed)[:draws] == few
    chosen = data.draw(st.integers(0, len(features) - 1))
    assert draw_replacements(CLAUSE, features[chosen:], POOL, draws=1, seed=seed)[0] == few[0][chosen:]
    masks = np.array([np.arange(len(features)) != chosen, np.zeros(len(features), dtype=bool)])
    options = {"baseline": "counterfactual", "pool": POOL, "draws": draws, "seed": seed}
    together = write_perturbed(CLAUSE, features, masks, **options)
    assert [write_perturbed(CLAUSE, features, mask[None], **options)[0] for mask in masks] == together
    start, end = features[chosen].start, features[chosen].end
    assert together[0] == [CLAUSE[:start] + drawn[chosen] + CLAUSE[end:] for drawn in few]


def test_a_category_without_another_text_is_named():
    with pytest.raises(InputError, match=r"clause a, feature 'unless': expected another text of category condition"):
        draw_replacements("unless", segment("unless"), {"condition": ["Unless"]}, id="a")
    with pytest.raises(InputError, match="draws: expected 1 or more, found 0"):
        draw_replacements(CLAUSE, segment(CLAUSE), POOL, draws=0)
