"""Where the package's templates lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path


def template_folder() -> Path:
    package = Path(__file__).resolve().parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"
