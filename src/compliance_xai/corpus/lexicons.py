"""Words of building regulations, by the part they play in a requirement; ``lexicons.yaml`` lists and explains them."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.files import read_package_data

_TEXTS: dict[str, str] = read_package_data(Path(__file__).with_suffix(".yaml"))


def _words(name: str) -> frozenset[str]:
    return frozenset(_TEXTS[name].split())


def _phrases(name: str) -> tuple[tuple[str, ...], ...]:
    """Phrases as words, longest first."""
    phrases = {tuple(phrase.split()) for phrase in _TEXTS[name].split(",")}
    return tuple(sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


COMPARATORS = _phrases("comparators")
COMPARATORS_BEFORE_NUMBER = _phrases("comparators_before_number")
DEONTICS = _phrases("deontics")
CONDITIONS = _phrases("conditions")
NEGATIONS = _words("negations")
NUMBER_WORDS = _words("number_words")
FRACTION_WORDS = _words("fraction_words")
UNIT_SYMBOLS = _words("unit_symbols")
UNIT_NAMES = _words("unit_names")
UNITS = UNIT_SYMBOLS | UNIT_NAMES
UNITS_AFTER_NUMBER = _words("units_after_number")
AFTER_INCHES = _words("after_inches")
COUNTED = _words("counted")
GRADES = _words("grades")
FIRE_CLASSES = _words("fire_classes")
FIRE_MINUTES = _words("fire_minutes")
REFERENCE_HEADS = _words("reference_heads")
STANDARD_BODIES = _words("standard_bodies")
FUNCTION_WORDS = _words("function_words")
DETERMINERS = _words("determiners")
PROPERTIES = _words("properties")
OBJECTS = _words("objects")
