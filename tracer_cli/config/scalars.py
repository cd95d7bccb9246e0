"""Scalar field types that keep what the person wrote.

YAML gives a plain `0123`, `1e-3` or `true` a type of its own, but a field that holds a name or a label
wants the text. The loader therefore hands over a `Scalar` (text and typed value together), and the field's
type says which of the two it takes. Values that come from Python pass through untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

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

Text = Annotated[str, AsText, Field(min_length=1)]
Flag = Annotated[bool, AsValue]
Integer = Annotated[int, AsValue]
Count = Annotated[int, AsValue, Field(ge=1)]
Number = Annotated[float, AsValue, Field(allow_inf_nan=False)]
Positive = Annotated[float, AsValue, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, AsValue, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, AsValue, Field(ge=0, le=1)]
OpenShare = Annotated[float, AsValue, Field(gt=0, lt=1)]
