"""One module per DVC stage: read artifacts -> call core -> write artifacts."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from tracer_cli.artifacts import STAGES, Layout, exclusive
from tracer_cli.config.paths import normal
from tracer_cli.config.resolve import FILE_NAME, config_of, read_params, require_version
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError
from tracer_cli.progress import Progress, silent


def layout_of(config: Config, root: Path) -> Layout:
    """Where the artifacts of the project in `root` live."""
    return Layout.of_project(root, normal(config.outputs.policy), normal(config.outputs.report))


def run_stage(root: Path, stage: str, model: str | None = None, progress: Progress = silent) -> None:
    """Run one stage of the project in `root` as DVC does; `model` is the slug of a zoo member, for train alone.

    Two runs that would write the same files do not overlap: the second one gets a StorageError at once.
    """
    if stage not in STAGES:
        raise ConfigError(f"no stage is called {stage!r}; expected one of {', '.join(STAGES)}")
    if stage == "train" and model is None:
        raise ConfigError("the stage train needs --model, the short name of a member of the zoo")
    if stage != "train" and model is not None:
        raise ConfigError(f"--model goes with the stage train alone; the stage is {stage}")
    module = importlib.import_module(f"tracer_cli.stages.{stage}")
    if stage == "resolve":
        with exclusive(root / FILE_NAME):
            module.run(root)
        return
    params = read_params(root / FILE_NAME)
    config = config_of(params)
    require_version(params, stage)
    layout = layout_of(config, root)
    if model is not None and model not in config.slugs():
        raise ConfigError(f"--model: the zoo has no model {model!r}; expected one of {', '.join(config.slugs())}")
    options: dict[str, object] = {} if model is None else {"model": model}
    if "progress" in inspect.signature(module.run).parameters:  # the stages that take long
        options["progress"] = progress
    with exclusive(_written(layout, stage, model)):
        module.run(layout, config, **options)


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
