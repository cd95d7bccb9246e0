"""What `tracer plan` says, `dvc repro` does: random edits of a project, one after the other, with the real DVC.

One walk has stand-ins for the stages, which write in no time, so that DVC alone is on trial; their outputs often come
out as they were, and that decides whether what "may run" does. A shorter walk has the real stages.
TRACER_PLAN_SEED takes other walks.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import stand_ins
from support import DvcProject, example_traces, write_jsonl
from tracer_cli.review.plan.plan import FROZEN, MAY_RUN, NOT_REACHED, RESTORED, RUNS, STOPS, UNCHANGED, Plan, plan

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

SEED = int(os.environ.get("TRACER_PLAN_SEED", "1"))
TRACES = 300

VALUES = {
    "agreement": ("0.8", "0.85", "0.7"),
    "confidence": ("0.9", "0.95"),
    "min_coverage": ("0.05", "0.1"),
    "price": ("0.001", "0.002"),
    "seed": ("0", "1"),
    "alpha": ("1.0e-5", "1e-4"),
    "forest": ("", "  Big Forest 2.0: {kind: extra_trees, n_estimators: 3}\n"),
    "dim": ("16", "24"),
    "drop": ("0.05", "null"),
    "folds": ("2", "3"),
    "comment": ("", "# a comment\n"),
    "project": ("one", "another"),
}

OUTPUTS = (
    *("artifacts/candidate", "artifacts/models/sgd", "artifacts/vectors/fit.npy", "metrics/guard.json"),
    *(".tracer/manifest.json", "artifacts/embedder", "plots/targets.csv", "metrics/traces.json"),
    *("plots/labels.csv", ".tracer/report.html", "params.yaml"),
)

# What a stage may do under each outcome. resolve is started before it stops.
ALLOWED = {
    RUNS: {"ran"},
    RESTORED: {"restored"},
    MAY_RUN: {"ran", "restored", "skipped"},
    UNCHANGED: {"skipped"},
    FROZEN: {"skipped"},
    STOPS: {"ran", "skipped"},
    NOT_REACHED: {"skipped"},
}


@dataclass
class Walk:
    """A project, what its tracer.yaml is written from, and the edits that a step may make."""

    project: DvcProject
    chance: random.Random
    settings: dict[str, str] = field(default_factory=lambda: {key: values[0] for key, values in VALUES.items()})
    frozen: set[str] = field(default_factory=set)
    edits: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    @property
    def root(self) -> Path:
        return self.project.root

    @property
    def traces(self) -> Path:
        return self.root / "data" / "traces"

    def write(self) -> None:
        values = self.settings
        (self.root / "tracer.yaml").write_text(
            f"{values['comment']}schema: 1\nproject: {values['project']}\nseed: {values['seed']}\n"
            f"traces:\n  - path: data/traces/*.jsonl\nsplit: {{folds: {values['folds']}}}\n"
            f"embedder: {{kind: tfidf, dim: {values['dim']}}}\n"
            "zoo:\n  logreg: {kind: logistic_regression, C: 1}\n"
            f"  sgd: {{kind: sgd, alpha: {values['alpha']}}}\n{values['forest']}"
            f"blend: 1\ntargets: {{agreement: {values['agreement']}, confidence: {values['confidence']}, frontier: [],"
            f" min_coverage: {values['min_coverage']}}}\n"
            f"rules: {{max_coverage_drop: {values['drop']}}}\ncost: {{per_call: {values['price']}}}\n"
        )

    # --- edits ------------------------------------------------------------------------------------

    def a_value(self) -> str:
        key = self.chance.choice(list(VALUES))
        self.settings[key] = self.chance.choice([value for value in VALUES[key] if value != self.settings[key]])
        self.write()
        return f"{key}: {self.settings[key]!r}"

    def everything_back(self) -> str:
        """The run cache has it all, unless something froze or was taken out of the cache."""
        self.settings = {key: values[0] for key, values in VALUES.items()}
        self.write()
        for path in self.traces.glob("[!a].jsonl"):
            path.unlink()
        return "as at the start"

    def traces_come_or_go(self) -> str:
        path = self.traces / "b.jsonl"
        if path.exists():
            path.unlink()
        else:
            write_jsonl(path, example_traces(TRACES + 20)[TRACES:])
        return f"b.jsonl {'added' if path.exists() else 'removed'}"

    def traces_again(self) -> str:
        write_jsonl(self.traces / "c.jsonl", example_traces(self.chance.choice([1, 5])))
        return "c.jsonl: texts that are there already"

    def traces_touched(self) -> str:
        path = self.traces / "a.jsonl"
        path.write_bytes(path.read_bytes())
        os.utime(path)
        return "a.jsonl touched"

    def output_deleted(self) -> str:
        path = self.root / self.chance.choice(OUTPUTS)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return f"{path.name} deleted"

    def output_edited(self) -> str:
        path = self.root / self.chance.choice(OUTPUTS[:-1])
        if path.is_dir():
            path = min(path.iterdir())
        if path.is_file():
            content = path.read_bytes()
            path.unlink()  # it may be a link into the cache
            path.write_bytes(content + b" ")
        return f"{path.name} edited"

    def params_edited(self) -> str:
        path = self.root / "params.yaml"
        if path.is_file():
            path.write_text(re.sub(r"^seed: \d+$", "seed: 77", path.read_text(), flags=re.MULTILINE))
        return "params.yaml edited"

    def frozen_or_thawed(self) -> str:
        if self.frozen:
            name = self.frozen.pop()
            self.project.dvc("unfreeze", name)
            return f"{name} thawed"
        name = self.chance.choice(["ingest", "embed", "calibrate", "guard", "report"])
        self.project.dvc("freeze", name)
        self.frozen.add(name)
        return f"{name} frozen"

    def cache_thinned(self) -> str:
        objects = sorted((self.root / ".dvc" / "cache" / "files").glob("*/??/*"))
        for path in self.chance.sample(objects, min(len(objects), 2)):
            path.chmod(0o644)
            path.unlink()
        return "two objects taken out of the cache"

    def lock_deleted(self) -> str:
        (self.root / "dvc.lock").unlink(missing_ok=True)
        return "dvc.lock deleted"

    # --- what is claimed --------------------------------------------------------------------------

    def steps(self, count: int) -> None:
        """Each: some edits, the plan, then what DVC does. Every kind of edit is made, if the steps are enough."""
        weights: dict[Callable[[], str], int] = {
            self.a_value: 10,
            self.everything_back: 3,
            self.traces_come_or_go: 2,
            self.traces_again: 1,
            self.traces_touched: 1,
            self.output_deleted: 3,
            self.output_edited: 3,
            self.params_edited: 1,
            self.frozen_or_thawed: 2,
            self.cache_thinned: 1,
            self.lock_deleted: 1,
        }
        kinds, chances = list(weights), list(weights.values())
        once = self.chance.sample(kinds, len(kinds))
        for number in range(count):
            more = self.chance.choices(
                kinds, chances, k=self.chance.choice([0, 0, 1, 2] if number < len(once) else [1, 2])
            )
            self.edits = [edit() for edit in (*once[number : number + 1], *more)]
            self.check()
        assert {step.outcome for step in plan(self.root).steps} <= {UNCHANGED, FROZEN}, self.edits

    def check(self) -> None:
        said = plan(self.root)
        if said.compile_first is not None:
            self.compile(said)
        output = self.project.dvc("repro", fails=bool(said.those(STOPS)))
        self.compare(said, output)
        if said.those(STOPS):
            self.mend()

    def compile(self, said: Plan) -> None:
        """`tracer compile` makes the plan true that was told before it."""
        assert said.compile_first is not None
        if "stops" in said.compile_first.without:
            assert "run `tracer compile`" in self.project.dvc("repro", fails=True), self.edits
        self.project.tracer("compile")
        now = plan(self.root)
        assert now.compile_first is None, (self.edits, now.compile_first)
        for before, after in zip(said.steps, now.steps, strict=True):
            assert after == before, self.edits

    def compare(self, said: Plan, output: str) -> None:
        steps = [f"{s.stage}: {s.outcome}; {[r.text for r in s.reasons]}; {s.after}" for s in said.steps]
        told = "\n".join([f"edits: {self.edits}", *steps, output])
        outcomes = {step.stage: step.outcome for step in said.steps}
        did = dict.fromkeys(outcomes, "skipped")
        did |= dict.fromkeys(re.findall(r"Running stage '([^']+)'", output), "ran")
        did |= dict.fromkeys(re.findall(r"Stage '([^']+)' is cached - skipping run", output), "restored")
        assert did.keys() == outcomes.keys(), told
        for step in said.steps:
            self.seen.add((step.outcome, did[step.stage]))
            assert did[step.stage] in ALLOWED[step.outcome], f"{step.stage} {did[step.stage]}\n{told}"
            assert step.reasons or step.outcome in (UNCHANGED, MAY_RUN, FROZEN), told
            if step.outcome == MAY_RUN:
                assert step.after and {outcomes[name] for name in step.after} <= {RUNS, MAY_RUN}, told

    def mend(self) -> None:
        """Undo what `dvc repro` stopped at."""
        self.project.tracer("compile")
        while self.frozen:
            self.project.dvc("unfreeze", self.frozen.pop())
        self.project.dvc("repro")


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    (tmp_path / "project").mkdir()
    walk = Walk(DvcProject(tmp_path / "project", tmp_path / "home"), random.Random())
    write_jsonl(walk.traces / "a.jsonl", example_traces(TRACES))
    walk.write()
    walk.project.tracer("init")
    return walk


def test_with_stand_ins(walk: Walk, tmp_path: Path) -> None:
    stand_ins.install(walk.project, tmp_path / "home")
    walk.chance.seed(SEED)
    walk.check()
    walk.steps(20)
    seen = {outcome for outcome, _ in walk.seen}
    assert seen == set(ALLOWED), "this seed leaves something out: take another"
    assert len({did for outcome, did in walk.seen if outcome == MAY_RUN}) > 1


def test_with_the_real_stages(walk: Walk) -> None:
    walk.chance.seed(SEED)
    walk.check()
    walk.steps(6)
    assert walk.seen >= {(RUNS, "ran"), (MAY_RUN, "ran")}, "this seed leaves something out: take another"
