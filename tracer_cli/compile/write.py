"""Writes the compiled files, or says what is stale in them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from tracer_cli.artifacts import write_text
from tracer_cli.compile.existing import (
    DVC_YAML,
    NO_PREVIOUS,
    PARAMS_YAML,
    PREVIOUS,
    existing_dvc,
    existing_params,
    hand_edits,
    other_comments,
    params_are_fresh,
    wanted_dvc,
)
from tracer_cli.compile.text import dvc_text, params_yaml
from tracer_cli.config.load import FILE_NAME, load_document
from tracer_cli.config.resolve import params_of


@dataclass(frozen=True)
class Outcome:
    """stale: names of the files that differed from what tracer.yaml compiles to (rewritten, unless checked only).

    diff: what changes in them, as a unified diff. notes: what a person should know about the rewrite.
    """

    stale: tuple[str, ...]
    diff: str
    notes: tuple[str, ...] = ()


def write(root: Path, check: bool = False) -> Outcome:
    """Compile `root`/tracer.yaml; with `check`, write nothing.

    Values are compared, not bytes: `frozen: true`, comments and added stages do not make dvc.yaml stale.
    Raises ConfigError when tracer.yaml is wrong or when a file in the way was not written by tracer.
    """
    document, config = load_document(root / FILE_NAME)
    old_dvc, old_params = existing_dvc(root), existing_params(root)
    wanted = wanted_dvc(root, config, old_dvc.values)
    new: dict[str, tuple[str, str]] = {}
    notes = []
    if old_dvc.values != wanted:
        new[DVC_YAML] = (old_dvc.text, dvc_text(wanted))
        if other_comments(old_dvc.text):
            notes.append(f"{DVC_YAML}: comments in it were not kept")
    if not params_are_fresh(old_params, params_of(config)):
        new[PARAMS_YAML] = (old_params.text, params_yaml(config))
        edits = hand_edits(root, old_params, document, config)
        if edits:
            notes.append(edits)
    if not (root / PREVIOUS).exists():
        new[PREVIOUS] = ("", NO_PREVIOUS)
    if not check:
        for name, (_, text) in new.items():
            write_text(root / name, text)
    return Outcome(tuple(new), "".join(_diff(name, *texts) for name, texts in new.items()), tuple(notes))


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), name, f"{name} (from {FILE_NAME})"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
