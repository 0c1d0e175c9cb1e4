"""Our categories against the labels that people gave: reading, counting, and the figures on the published table."""

import pytest
from code_accord import (
    LabelledSentence,
    count_disagreements,
    measure_agreement,
    read_entities,
    tagged_words,
)

from compliance_xai.errors import InputError

SENTENCES = [
    LabelledSentence(
        ("Doors", "shall", "be", "at", "least", "850", "mm", "wide"),
        ("object", "O", "O", "O", "O", "value", "value", "O"),
    ),
    LabelledSentence(("Allow", "20C", "and", "adequate", "light"), ("O", "value", "O", "value", "O")),
    LabelledSentence(("no", "more", "than", "2", "m"), ("O", "O", "O", "quality", "quality")),
]


def test_words_are_counted_by_hand():
    assert tagged_words(SENTENCES[0], ["number", "unit"]) == [False] * 5 + [True, True, False]
    value = measure_agreement(SENTENCES).set_index("label").loc["value"]
    assert (value.words, value.precision, value.recall, value.f1) == (4, 0.5, 0.5, 0.5)
    assert 0 <= value.low <= value.f1 <= value.high <= 1
    assert count_disagreements(SENTENCES) == {
        "missed without a digit": 1,
        "missed with a digit": 1,
        "extra, theirs a quality": 2,
        "extra, theirs something else": 0,
    }


def test_a_table_of_another_form_is_named(tmp_path):
    path = tmp_path / "entities.csv"
    path.write_text("processed_content,label\na door,O\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 1 \(line 2\): .* as many labels as words, found 2 words and 1 labels"):
        read_entities(path)
    with pytest.raises(InputError, match="corpus fetch code-accord-train"):
        read_entities(tmp_path / "none.csv")


def test_tags_agree_with_human_labels_of_real_codes(shared_data):
    """CODE-ACCORD, train split, on which the tagger was tuned; a naive pattern has F1 0.70 for ``value``."""
    agreement = measure_agreement(read_entities(shared_data / "code_accord_entities_train.csv"), resamples=200)
    f1 = agreement.set_index("label")["f1"]
    assert f1.to_dict() == pytest.approx({"value": 0.85, "object": 0.52, "property": 0.45}, abs=0.02)
