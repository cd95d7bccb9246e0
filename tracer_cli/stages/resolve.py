"""tracer.yaml -> params.yaml, as the first stage of the graph.

DVC keeps the previous params.yaml in place (`persist: true`), so an edit by hand is still there to be seen and
refused; otherwise `dvc exp run -S calibrate.targets.agreement=...` would be undone without a word.
"""

from __future__ import annotations

from pathlib import Path

from tracer_cli.artifacts import write_text
from tracer_cli.compile.existing import (
    DVC_YAML,
    PARAMS_YAML,
    differences,
    existing_dvc,
    existing_params,
    hand_edits,
    wanted_dvc,
)
from tracer_cli.compile.text import params_yaml
from tracer_cli.config.document import key_path
from tracer_cli.config.load import FILE_NAME, load_document
from tracer_cli.errors import ConfigError


def run(root: Path) -> None:
    """Raises ConfigError when tracer.yaml is wrong, dvc.yaml is stale, or params.yaml was edited by hand."""
    document, config = load_document(root / FILE_NAME)
    graph = existing_dvc(root)
    stale = list(differences(graph.values or {}, wanted_dvc(root, config, graph.values)))
    if stale:
        places = ", ".join(key_path(at) for at, _, _ in stale[:5])
        raise ConfigError(
            f"{root / DVC_YAML}: it is not what {FILE_NAME} compiles to ({places}): run `tracer compile`, then again"
        )
    existing = existing_params(root)
    edits = hand_edits(root, existing, document, config)
    if edits:
        raise ConfigError(edits)
    text = params_yaml(config)
    if existing.text != text:
        write_text(root / PARAMS_YAML, text)
