"""Refits as they lie in a project's folder, written from a few numbers and without a fit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tracer_cli.artifacts import Layout, write_csv, write_json, write_text
from tracer_cli.compile import params_yaml
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config
from tracer_cli.core.certificate import clopper_pearson, lower_bound
from tracer_cli.review import facts
from tracer_cli.review.facts import Facts
from tracer_cli.stages.guard import TARGET_COLUMNS
from tracer_cli.stages.report import LABEL_COLUMNS

# Target -> handled, agreed; nothing handled: not certified.
TARGETS = {0.9: (850, 790), 0.95: (600, 580), 0.98: (0, 0)}
# Label -> fit rows, holdout rows, handled, answered, agreed.
LABELS = {
    "refund": (400, 300, 200, 200, 196),
    "delivery": (300, 300, 200, 200, 194),
    "login": (250, 200, 120, 120, 112),
    "other": (50, 100, 80, 80, 78),
}


@dataclass
class Refit:
    """settings: of tracer.yaml. holdout: which texts are held out and how they are labelled, as dvc.lock knows it."""

    settings: dict[str, Any] = field(default_factory=dict)
    targets: dict[float, tuple[int, int]] = field(default_factory=lambda: dict(TARGETS))
    labels: dict[str, tuple[int, int, int, int, int]] = field(default_factory=lambda: dict(LABELS))
    rows: int = 900
    fit_rows: int = 1000
    rejected: int = 0
    conflicts: int = 10
    holdout: tuple[str, str] = ("texts", "labels")
    method: str = "l2d"
    surrogate: str = "75 % kernel + 25 % logreg"
    threshold: float = 0.93

    @property
    def config(self) -> Config:
        return Config.model_validate(self._raw)

    @property
    def _raw(self) -> dict[str, Any]:
        return {"project": "support", "traces": [{"path": "data/a.jsonl"}], **self.settings}

    def write(self, root: Path) -> Path:
        """What `dvc repro` would leave in git."""
        layout = Layout.of_project(root, ".tracer", ".tracer/report.html")
        write_text(root / "tracer.yaml", yaml.safe_dump(self._raw, sort_keys=False))
        write_text(root / "params.yaml", params_yaml(self.config))
        write_csv(layout.targets_table, TARGET_COLUMNS, [self._target(target) for target in sorted(self.targets)])
        columns = LABEL_COLUMNS[:-1]
        rows = [dict(zip(columns, (label, *counts), strict=True)) for label, counts in self.labels.items()]
        write_csv(layout.labels_table, LABEL_COLUMNS, rows)
        agreement = self.config.targets.agreement
        write_json(
            layout.guard_metrics, {"target_agreement": agreement, "deployed": self._target(agreement)["deployed"]}
        )
        write_json(layout.traces_metrics, self._traces())
        write_text(root / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": self._stages(root)}, sort_keys=False))
        return root

    def _target(self, target: float) -> dict[str, Any]:
        handled, agreed = self.targets[target]
        config = self.config.targets
        coverage, agreement = (
            clopper_pearson(a, b, config.confidence) for a, b in ((handled, self.rows), (agreed, handled))
        )
        enough = handled / self.rows >= config.min_coverage
        return {
            "target": target,
            "deployed": int(target == config.agreement and handled > 0 and enough),
            "certified": int(handled > 0),
            "method": self.method,
            "surrogate": self.surrogate,
            "threshold": self.threshold if handled else None,
            "coverage": round(handled / self.rows, 6),
            "coverage_low": coverage[0],
            "coverage_high": coverage[1],
            "agreement": round(agreed / handled, 6) if handled else None,
            "agreement_low": agreement[0],
            "agreement_high": agreement[1],
            "lower_bound": lower_bound(agreed, handled, 1 - config.confidence) if handled else None,
            "handled": handled,
            "agreed": agreed,
            "evidence_rows": self.rows,
        }

    def _traces(self) -> dict[str, float]:
        distinct = self.fit_rows + self.rows
        return {
            "rows_read": distinct + self.rejected,
            "rows_rejected": self.rejected,
            "rows_accepted": distinct,
            "distinct_texts": distinct,
            "texts_seen_twice": 100,
            "conflicting_texts": self.conflicts,
            "conflict_share": self.conflicts / 100,
            "fit_rows": self.fit_rows,
            "holdout_rows": self.rows,
            "holdout_share": round(self.rows / distinct, 4),
            "labels": len(self.labels),
        }

    def _stages(self, root: Path) -> dict[str, Any]:
        params = params_of(self.config)

        def written(*paths: str) -> list[dict[str, str]]:
            return [{"path": path, "md5": md5((root / path).read_bytes())} for path in paths]

        texts, labels = (md5(name.encode()) for name in self.holdout)
        return {
            "resolve": {"deps": written("tracer.yaml"), "outs": written("params.yaml")},
            "ingest": {
                "params": {"params.yaml": {"ingest": params["ingest"], "seed": params["seed"]}},
                "outs": [
                    {"path": facts.HOLDOUT_TEXTS, "md5": texts},
                    {"path": facts.HOLDOUT_LABELS, "md5": labels},
                    *written("metrics/traces.json"),
                ],
            },
            # A model that is gone, as DVC keeps it.
            "train@gone": {"params": {"params.yaml": {"train.zoo.gone": {"kind": "sgd"}, "train.folds": 19}}},
            **{
                f"train@{slug}": {"params": {"params.yaml": {f"train.zoo.{slug}": model}}}
                for slug, model in params["train"]["zoo"].items()
            },
            "calibrate": {"params": {"params.yaml": {"calibrate": params["calibrate"]}}},
            "guard": {"outs": written("metrics/guard.json", "plots/targets.csv")},
            "report": {"outs": written("plots/labels.csv")},
        }


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


_known: dict[str, Facts] = {}


def facts_of(folder: Path, **changes: Any) -> Facts:
    """The facts of a refit, read back from its files; kept, because many tests start from the same one."""
    key = repr(changes)
    if key not in _known:
        _known[key] = facts.of_working_tree(Refit(**changes).write(folder))
    return _known[key]
