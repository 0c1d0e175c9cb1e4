import pytest

from compliance_xai.study.labels import STRATEGY_LABELS, format_parameters, label_of, labels, size_label
from compliance_xai.study.strategy_settings import KINDS


def test_every_kind_of_fine_tuning_has_a_label_of_its_own():
    assert set(STRATEGY_LABELS) == set(KINDS)
    assert len(set(STRATEGY_LABELS.values())) == len(KINDS)


@pytest.mark.parametrize("name", labels())
def test_formats_fit_numbers_and_labels_are_plain_words(name):
    label = label_of(name)
    assert format(0.5, label.format)
    assert "_" not in label.axis


def test_sizes_are_never_written_like_metres():
    assert [size_label(name) for name in ("1m", "12m", "0.5b", "1.5B", "m", "1m2")] == [
        "1M", "12M", "0.5B", "1.5B", "m", "1m2"
    ]  # fmt: skip
    assert [format_parameters(count) for count in (1_500, 999_600, 135_000_000)] == ["0.0015M", "1M", "135M"]
