import pickle

import pytest

from compliance_xai.errors import InputError, require_choice


@pytest.mark.parametrize(
    ("value", "known", "message"),
    [
        ("lora-then-ful", ["full", "lora-then-full"], r"found 'lora-then-ful'\. Did you mean 'lora-then-full'\?"),
        (9, [0, 1], r"strategy: expected one of 0, 1, found 9\. Choose one of these\."),
        (["full"], {"full": 1}, r"found \['full'\]\."),
    ],
)
def test_an_unknown_value_is_refused_with_the_closest(value, known, message):
    with pytest.raises(InputError, match=message):
        require_choice("strategy", value, known)


def test_an_error_survives_pickling():
    error = InputError("a", expected="b", found="c", remedy="D.")
    assert str(pickle.loads(pickle.dumps(error))) == "a: expected b, found c. D."
