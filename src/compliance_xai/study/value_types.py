"""Types of the values in a settings file, each with its bounds and unit, and what all groups of settings share."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Settings(BaseModel):
    """A group of settings: frozen, and unknown keys are refused. Docstrings of fields are the settings' meanings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _whole(unit: str = "", least: int = 1) -> Any:
    return Field(strict=True, ge=least, json_schema_extra={"unit": unit} if unit else None)


Count = Annotated[int, _whole()]
Whole = Annotated[int, _whole(least=0)]
Pairs = Annotated[int, _whole("pairs")]
Clauses = Annotated[int, _whole("clauses")]
MaybeClauses = Annotated[int, _whole("clauses", least=0)]
Steps = Annotated[int, _whole("steps")]
Tokens = Annotated[int, _whole("tokens")]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
InnerShare = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, min_length=1)]
PathText = Annotated[Text, Field(json_schema_extra={"unit": "path"})]
Slug = Annotated[str, Field(strict=True, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$")]
"""The name of a model size. It has no hyphen, so that ``<size>-<strategy>-<stage>`` is the name of one job only."""
StrategyName = Annotated[str, Field(strict=True, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
StudyName = Annotated[str, Field(strict=True, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def refuse(expected: str, found: str = "", remedy: str = "", key: tuple[str, ...] = ()) -> PydanticCustomError:
    """The error that a validator raises: what it expected and found, what to do, and at which ``key`` below its own."""
    context = {"expected": expected, "found": found, "remedy": remedy, "key": key}
    return PydanticCustomError("refused", "expected {expected}", context)


def _require_different(values: tuple) -> tuple:
    twice = next((value for index, value in enumerate(values) if value in values[:index]), None)
    if twice is not None:
        raise refuse("unique entries", f"{twice!r} more than once", "Remove one of them.")
    return values


DIFFERENT = AfterValidator(_require_different)
"""Of a list: no two entries are equal."""
