"""Scalar field types that keep what the person wrote.

YAML gives a plain `0123`, `1e-3` or `true` a type of its own, but a field that holds a name or a label
wants the text. The loader therefore hands over a `Scalar` (text and typed value together), and the field's
type says which of the two it takes. Values that come from Python pass through untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field


@dataclass(frozen=True)
class Scalar:
    """A plain YAML scalar whose type under the YAML 1.2 core schema is not text."""

    text: str
    value: bool | int | float

    def __repr__(self) -> str:
        return self.text


def _text(value: Any) -> Any:
    return value.text if isinstance(value, Scalar) else value


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Scalar) else value


AsText = BeforeValidator(_text)
AsValue = BeforeValidator(_value)

# The constraint comes first and the unwrapping last, so that the constraint is part of the JSON Schema.
Text = Annotated[str, Field(min_length=1), AsText]
ModelName = Annotated[str, Field(min_length=1, max_length=100), AsText]
Auto = Annotated[Literal["auto"], AsText]
Flag = Annotated[bool, AsValue]
Count = Annotated[int, Field(ge=1), AsValue]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AsValue]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AsValue]
Share = Annotated[float, Field(ge=0, le=1), AsValue]
OpenShare = Annotated[float, Field(gt=0, lt=1), AsValue]
