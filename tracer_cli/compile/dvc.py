"""Config -> the data of dvc.yaml. Pure: DVC is a program that reads the result.

The graph is the evidence that the certificate is honest: nothing before `guard` depends on the holdout's labels.
What a stage has under `plots` DVC draws on its own, whatever else is drawn from it. So the frontier's table is a plain
output of `report`, and the picture made of it is declared at the top; the table of labels, which `tracer diff` reads,
has no picture, because the bars of many labels cannot be read. The price is that `report` has no run cache.
Lists are sorted and descriptions fit into a line, because that is what DVC makes of them when it rewrites the file
(`dvc freeze`): its diff is then one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracer_cli.artifacts import CERTIFIED, MEASURED, TARGET, Layout
from tracer_cli.config.paths import dependency, inside, normal
from tracer_cli.config.schema import Config, PrecomputedEmbedder

Stage = dict[str, Any]


def dvc_data(config: Config, embedder_path: str | None = None) -> dict[str, Any]:
    """The stages; `embedder_path`: what of the embedder DVC should watch, such as the folder of its model."""
    layout = Layout.of_project(Path(), normal(config.outputs.policy), normal(config.outputs.report))
    slugs = list(config.slugs())
    stages = {
        "resolve": _resolve(),
        "ingest": _ingest(config, layout),
        "embed": _embed(config, layout, embedder_path),
        "train": _train(layout, slugs),
        "calibrate": _calibrate(layout, slugs),
        "guard": _guard(layout),
        "report": _report(layout),
    }
    return {
        "stages": {name: _sorted_lists(stage) for name, stage in stages.items()},
        "plots": [_frontier(layout)],
        "artifacts": {"policy": _policy(layout)},
    }


def _resolve() -> Stage:
    return {
        "desc": "Write every value of tracer.yaml, defaults too, to params.yaml",
        "cmd": "tracer run resolve",
        "deps": ["tracer.yaml"],
        "outs": [{"params.yaml": {"cache": False, "persist": True}}],
    }


def _ingest(config: Config, layout: Layout) -> Stage:
    return {
        "desc": "Read the traces; set the holdout aside, its labels in their own file",
        "cmd": "tracer run ingest",
        "deps": _watched(
            [dependency(path) for source in config.traces for path in (source.path, source.results) if path]
        ),
        "params": ["ingest", "seed", "stage_version.ingest"],
        "outs": _paths(layout.fit, layout.holdout, layout.holdout_labels, layout.rejected, layout.teacher),
        "metrics": [_uncached(layout.traces_metrics)],
    }


def _embed(config: Config, layout: Layout, embedder_path: str | None) -> Stage:
    outside = [embedder_path] if embedder_path else []
    if isinstance(config.embedder, PrecomputedEmbedder):
        outside = [normal(config.embedder.path)]
    return {
        "desc": "Turn each text into a vector (fitted on the fit rows alone)",
        "cmd": "tracer run embed",
        "deps": [*_paths(layout.fit, layout.holdout), *outside],
        "params": ["embed", "seed", "stage_version.embed"],
        "outs": _paths(layout.fit_vectors, layout.holdout_vectors, layout.embedder),
    }


def _train(layout: Layout, slugs: list[str]) -> Stage:
    return {
        "desc": "Fit one surrogate, with out-of-fold probabilities of the fit rows",
        "matrix": {"model": slugs},
        "cmd": "tracer run train --model ${item.model}",
        "deps": _paths(layout.fit, layout.fit_vectors),
        "params": ["seed", "stage_version.train", "train.evidence", "train.folds", "train.zoo.${item.model}"],
        "outs": _paths(layout.model("${item.model}")),
    }


def _calibrate(layout: Layout, slugs: list[str]) -> Stage:
    return {
        "desc": "Choose the surrogate and fix the thresholds that guard will test",
        "cmd": "tracer run calibrate",
        "deps": _paths(layout.fit, layout.fit_vectors, *(layout.model(slug) for slug in slugs)),
        "params": ["calibrate", "seed", "stage_version.calibrate", "train.folds", "train.zoo"],
        "outs": _paths(layout.candidate),
    }


def _guard(layout: Layout) -> Stage:
    every_group = ["calibrate", "embed", "guard", "ingest", "project", "seed", "stage_version.guard", "train"]
    return {
        "desc": "Certify the policy on the holdout's labels, unseen until here",
        "cmd": "tracer run guard",
        "deps": _paths(
            layout.candidate,
            layout.embedder,
            layout.holdout_vectors,
            layout.holdout,
            layout.holdout_labels,
            layout.fit,
            layout.fit_vectors,
            layout.teacher,
        ),
        "params": every_group,  # their hash is in the manifest
        "outs": _paths(
            layout.manifest, layout.policy_graph, layout.policy_embedder, layout.frontier, layout.guard_rows
        ),
        "metrics": [_uncached(layout.guard_metrics)],
        "plots": [_certified_coverage(layout)],
    }


def _report(layout: Layout) -> Stage:
    return {
        "desc": "Write the audit report and the qualitative report",
        "cmd": "tracer run report",
        "deps": _paths(
            layout.manifest,
            layout.frontier,
            layout.guard_rows,
            layout.candidate,
            layout.fit,
            layout.holdout,
            layout.holdout_labels,
            layout.traces_metrics,
            layout.teacher,
            layout.previous,
        ),
        "params": ["calibrate", "project", "report", "stage_version.report"],
        "outs": [
            *_paths(layout.report, layout.qualitative_report),
            _uncached(layout.frontier_plot),
            _uncached(layout.labels_table),
        ],
    }


def _certified_coverage(layout: Layout) -> dict[str, Any]:
    return {
        layout.targets_table.as_posix(): {
            "cache": False,
            "template": "simple",
            "x": "target",
            "y": "coverage",
            "x_label": "target (parity with the teacher)",
            "y_label": "certified coverage",
            "title": "Certified coverage at each target",
        }
    }


def _frontier(layout: Layout) -> dict[str, Any]:
    """One picture of several lines; `dvc plots diff` gives each revision its colour and each line its dashes."""
    return {
        "frontier": {
            "template": "simple",
            "x": "coverage",
            "y": {layout.frontier_plot.as_posix(): [MEASURED, CERTIFIED, TARGET]},
            "x_label": "coverage (share of the inputs that are handled)",
            "y_label": "parity with the teacher",
            "title": "Coverage and parity with the teacher",
        }
    }


def _policy(layout: Layout) -> dict[str, Any]:
    """For `dvc artifacts get` and registries; the folder is made of outputs of guard and report."""
    return {
        "path": layout.policy.as_posix(),
        "type": "model",
        "desc": "Routing policy for load_router and tracer route",
    }


def _sorted_lists(stage: Stage) -> Stage:
    def place(entry: str | dict[str, Any]) -> str:
        return entry if isinstance(entry, str) else next(iter(entry))

    return {key: sorted(value, key=place) if isinstance(value, list) else value for key, value in stage.items()}


def _paths(*paths: Path) -> list[str]:
    return [path.as_posix() for path in paths]


def _uncached(path: Path) -> dict[str, Any]:
    return {path.as_posix(): {"cache": False}}


def _watched(paths: list[str]) -> list[str]:
    """Each once, and none that lies in another."""
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(inside(path, other) for other in unique if other != path)]
