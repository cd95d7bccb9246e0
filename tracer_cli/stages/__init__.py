"""One module per DVC stage: read artifacts -> call core -> write artifacts."""

from __future__ import annotations

import importlib
from pathlib import Path

from tracer_cli.artifacts import STAGES, Layout, exclusive
from tracer_cli.config.paths import normal
from tracer_cli.config.resolve import FILE_NAME, config_of, read_params
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError


def layout_of(config: Config, root: Path) -> Layout:
    """Where the artifacts of the project in `root` live."""
    return Layout.of_project(root, normal(config.outputs.policy), normal(config.outputs.report))


def run_stage(root: Path, stage: str, model: str | None = None) -> None:
    """Run one stage of the project in `root` as DVC does; `model` is the slug of a zoo member, for train alone.

    Two runs that would write the same files do not overlap: the second one gets a StorageError at once.
    """
    if stage not in STAGES:
        raise ConfigError(f"no stage is called {stage!r}; expected one of {', '.join(STAGES)}")
    if (model is not None) != (stage == "train"):
        raise ConfigError(f"--model goes with the stage train and with no other; the stage is {stage}")
    module = importlib.import_module(f"tracer_cli.stages.{stage}")
    if stage == "resolve":
        with exclusive(root / FILE_NAME):
            module.run(root)
        return
    config = config_of(read_params(root / FILE_NAME))
    layout = layout_of(config, root)
    if model is not None and model not in config.slugs():
        raise ConfigError(f"--model: the zoo has no model {model!r}; expected one of {', '.join(config.slugs())}")
    with exclusive(_written(layout, stage, model)):
        if model is None:
            module.run(layout, config)
        else:
            module.run(layout, config, model=model)


def _written(layout: Layout, stage: str, model: str | None) -> Path:
    """What stands for everything that a stage writes; two members of the zoo may be trained side by side."""
    return {
        "ingest": layout.fit.parent,
        "embed": layout.fit_vectors.parent,
        "train": layout.model(model or ""),
        "calibrate": layout.candidate,
        "guard": layout.policy,
        "report": layout.report,
    }[stage]
