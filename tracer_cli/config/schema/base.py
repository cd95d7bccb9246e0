"""What every section of tracer.yaml is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A mapping of tracer.yaml: unknown keys are errors, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def wrong(message: str, *at: str | int) -> PydanticCustomError:
    """An error whose place, below the validated field, the loader finds in `at`."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "at": at})
