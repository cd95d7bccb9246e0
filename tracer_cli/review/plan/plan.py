"""What `dvc repro` would do with each stage, and why.

DVC runs a stage when its command, a value, an input or an output differs from dvc.lock, unless its run cache holds the
result of the same command on the same values and inputs. So a stage is decided only when its inputs are known: below
one that runs, it is left open ("may run") wherever the outcome depends on what that run writes.

`resolve` makes params.yaml from tracer.yaml alone. Its consequences are exact: the values are compared here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracer_cli.compile.existing import (
    DVC_YAML,
    NO_PREVIOUS,
    PARAMS_YAML,
    PREVIOUS,
    Existing,
    differences,
    existing_dvc,
    existing_params,
    hand_edits,
    params_are_fresh,
    wanted_dvc,
)
from tracer_cli.compile.text import is_as_generated, params_yaml
from tracer_cli.config.document import Document, key_path
from tracer_cli.config.load import FILE_NAME as TRACER_YAML
from tracer_cli.config.load import load_document
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config
from tracer_cli.errors import ProgramError
from tracer_cli.programs import dvc
from tracer_cli.review.plan.last_run import listing_with, seconds_of
from tracer_cli.review.plan.lock import Cache, Content, Entry, dvc_folder, read_lock
from tracer_cli.review.plan.pipeline import Stage, overlap, stages_of, upstream_of
from tracer_cli.review.plan.reasons import MISSING, Reason, Values, file_reason, once, output_reason
from tracer_cli.review.plan.worktree import Worktree, changed_files, told_of

RUNS = "runs"
MAY_RUN = "may run"
RESTORED = "restored"  # taken from the run cache: nothing is computed
UNCHANGED = "unchanged"
FROZEN = "frozen"  # by `dvc freeze`: it never runs
STOPS = "stops"  # repro ends here with an error
NOT_REACHED = "not reached"

RESOLVE = "resolve"


@dataclass(frozen=True)
class Step:
    """One stage. after: the stages whose outputs decide, for `may run`; seconds: of its last run, if known.

    reasons: also those that a frozen stage passes over.
    """

    stage: str
    outcome: str
    reasons: tuple[Reason, ...] = ()
    after: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class CompileFirst:
    """The steps are true once `tracer compile` has run. stale: files; places: their keys that differ; without: what
    `dvc repro` does otherwise."""

    stale: tuple[str, ...]
    places: tuple[str, ...]
    without: str


@dataclass(frozen=True)
class Plan:
    """steps: one for each stage, upstream first."""

    compile_first: CompileFirst | None
    steps: tuple[Step, ...]

    def those(self, *outcomes: str) -> list[Step]:
        return [step for step in self.steps if step.outcome in outcomes]

    def seconds(self, *outcomes: str) -> float:
        """What the last runs of these steps took together, as far as it is known."""
        return sum(step.seconds or 0 for step in self.those(*outcomes))

    @property
    def untimed(self) -> list[str]:
        """Stages that run, or may, and of which no run on this machine was timed."""
        return [step.stage for step in self.those(RUNS, MAY_RUN) if step.seconds is None]

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "compile_first": None if self.compile_first is None else asdict(self.compile_first),
            "stages": [asdict(step) for step in self.steps],
            "estimate": {
                "seconds": round(self.seconds(RUNS), 3),
                "seconds_at_most": round(self.seconds(RUNS, MAY_RUN), 3),
                "stages_without_a_time": self.untimed,
            },
        }


def plan(root: Path) -> Plan:
    """Raises ConfigError when tracer.yaml is wrong or a compiled file is not ours, ProgramError when DVC fails."""
    document, config = load_document(root / TRACER_YAML)
    if dvc_folder(root) is None:
        raise ProgramError(f"{root.resolve()} is not in a DVC repository: run `dvc init` (see `tracer init`)")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_status, root)  # DVC takes longest: what it does not change is read meanwhile
        graph, params = existing_dvc(root), existing_params(root)
        wanted = wanted_dvc(root, config, graph.values)
        lock = read_lock(root)
        status = asked.result()
    stages = stages_of(wanted, lock, status)
    worktree = Worktree(root, status, lock, stages_of(graph.values or {}, lock, status))
    planner = _Planner(root, document, config, stages, lock, status, worktree)
    first = _compile_first(planner, graph, wanted, params)
    if first is not None and not worktree.exists(PREVIOUS):  # as in a project of an earlier version
        worktree.set(PREVIOUS, Content(hashlib.md5(NO_PREVIOUS.encode(), usedforsecurity=False).hexdigest()))
    planner.resolve(params, compiled=first is not None)
    for stage in stages:
        if stage.name != RESOLVE:
            planner.decide(stage)
    return Plan(first, tuple(planner.steps[stage.name] for stage in stages))


def _status(root: Path) -> dict[str, list[Any]]:
    return dvc.status(root) if (root / DVC_YAML).is_file() else {}


def _compile_first(planner: _Planner, graph: Existing, wanted: dict[str, Any], params: Existing) -> CompileFirst | None:
    """Whether `tracer compile` has to come first: resolve refuses a stale dvc.yaml; and DVC runs nothing for a newer
    version of tracer, whose defaults and stages differ while tracer.yaml is the same."""
    stale = list(differences(graph.values or {}, wanted))
    runs = planner.resolve_runs()
    if not stale and (runs or planner.stages[RESOLVE].frozen or params.values == planner.values):
        return None
    if not graph.values:
        without = f"there is no {DVC_YAML}"
    elif runs:
        without = f"`dvc repro` stops at {RESOLVE}"
    else:
        without = "`dvc repro` runs the old files as they stand"
    old = params.values or {}
    places = [at for at, _, _ in stale] or [at for at, _, _ in differences(old, planner.values)]
    files = [*([DVC_YAML] if stale else []), *([] if params_are_fresh(params, planner.values) else [PARAMS_YAML])]
    return CompileFirst(tuple(files), tuple(key_path(at) for at in places), without)


@dataclass(frozen=True)
class _Found:
    """What differs in a stage. read: in what it reads; written: in its outputs; open: the stages above it whose
    outputs are not known yet; missing: inputs that are not there."""

    read: list[Reason]
    written: list[Reason]
    open: list[str]
    missing: list[str]

    @property
    def reasons(self) -> list[Reason]:
        return [*self.read, *self.written]


class _Planner:
    """Decides stage after stage, upstream first; `worktree` holds what lies there by the time a stage's turn comes."""

    def __init__(
        self,
        root: Path,
        document: Document,
        config: Config,
        stages: list[Stage],
        lock: dict[str, Entry],
        status: dict[str, list[Any]],
        worktree: Worktree,
    ) -> None:
        self.root = root
        self.document = document
        self.config = config
        self.values = params_of(config)
        self.stages = {stage.name: stage for stage in stages}
        self.upstream = upstream_of(stages)
        self.lock = lock
        self.status = status
        self.worktree = worktree
        self.cache = Cache(root)
        self.words = Values(document, self._zoo())
        self.steps: dict[str, Step] = {}
        self.open: dict[str, str] = {}  # what is not known before a stage has run -> that stage
        self.lost: set[str] = set()
        self._data_sources()

    def _zoo(self) -> dict[str, Any]:
        known = self.lock["calibrate"].params.get("train.zoo") if "calibrate" in self.lock else None
        return {**(known or {}), **self.values["train"]["zoo"]}

    def _data_sources(self) -> None:
        """What `dvc add` tracks and is not there ends repro with an error; what `dvc import` tracks is fetched."""
        for name, told in self.status.items():
            if name.endswith(".dvc"):
                imported = "\ndeps:" in (self.root / name).read_text(encoding="utf-8", errors="replace")
                for path in told_of(told, "changed outs"):
                    if imported:
                        self.open[path] = name
                    elif not self.worktree.exists(path):
                        self.lost.add(path)

    # --- resolve ----------------------------------------------------------------------------------

    def resolve_runs(self) -> bool:
        """As things stand: without a compile."""
        stage, entry = self.stages[RESOLVE], self.lock.get(RESOLVE)
        if stage.frozen:
            return False
        if entry is None or entry.cmd != stage.cmd:
            return True
        locked = {**entry.deps, **entry.outs}
        return not all(
            path in locked and self.worktree.equals(path, locked[path]) for path in (TRACER_YAML, PARAMS_YAML)
        )

    def resolve(self, params: Existing, compiled: bool) -> None:
        """Its step, and params.yaml as the other stages will find it."""
        stage = self.stages[RESOLVE]
        text = params_yaml(self.config).encode()
        written = Content(hashlib.md5(text, usedforsecurity=False).hexdigest(), len(text))
        if compiled and not params_are_fresh(params, self.values):
            self.worktree.set(PARAMS_YAML, written)
        found = self._look_at(stage)
        edits = None if compiled else hand_edits(self.root, params, self.document, self.config)
        if stage.frozen:
            self._frozen(stage, found)
            if not compiled and params.values is not None:
                self.values = params.values
        elif not found.reasons:
            self._step(stage, UNCHANGED)
        elif edits:
            self._step(stage, STOPS, [Reason("output", edits, {"path": PARAMS_YAML, "change": "modified"})])
        else:
            self._step(stage, RUNS, self._resolved(found, params, compiled))
            self.worktree.set(PARAMS_YAML, written)

    def _resolved(self, found: _Found, params: Existing, compiled: bool) -> list[Reason]:
        """An edit of tracer.yaml as what it does to the values that the stages read."""
        reasons = found.reasons
        generated = compiled or (params.values is not None and is_as_generated(params.text, params.values))
        edit, edited = file_reason(TRACER_YAML, "modified"), output_reason(PARAMS_YAML, "modified")
        if generated and edited in reasons:
            by_compile = Reason(edited.kind, f"`tracer compile` wrote {PARAMS_YAML} anew", edited.details)
            reasons = [by_compile if reason == edited else reason for reason in reasons]
        if edit not in reasons:
            return reasons
        ours = [(stage, self.lock.get(stage.name)) for stage in self.stages.values() if not stage.added]
        values = once(reason for stage, last in ours if last for reason in self._values(stage, last))
        if not values:
            edit = Reason(edit.kind, f"{edit.text}, but no value that a stage reads", edit.details)
        return [edit, *values, *(reason for reason in reasons if reason.kind not in ("file", "output"))]

    # --- the other stages -------------------------------------------------------------------------

    def decide(self, stage: Stage) -> None:
        above = [RESOLVE, *self.upstream[stage.name]]
        end = next((name for name in above if self.steps[name].outcome in (STOPS, NOT_REACHED)), None)
        found = self._look_at(stage)
        if stage.frozen:
            self._frozen(stage, found)
        elif end is not None:
            self._step(stage, NOT_REACHED, [Reason("upstream", f"`dvc repro` stops at {end}", {"stage": end})])
        elif found.missing:
            self._step(stage, STOPS, [self._gone(path) for path in found.missing])
        elif stage.added and found.reasons:
            self._step(stage, MAY_RUN, found.reasons, found.open)
        elif found.reasons:
            self._changed(stage, found)
        elif found.open:
            self._step(stage, MAY_RUN, after=found.open)
        else:
            self._step(stage, UNCHANGED)

    def _changed(self, stage: Stage, found: _Found) -> None:
        earlier, sure = self._earlier(stage, found)
        if earlier is None:
            self._step(stage, RUNS, found.reasons)
        elif not sure:
            self._step(stage, MAY_RUN, found.reasons, found.open)
        else:
            self._step(stage, RESTORED, found.reasons)
            for path, content in earlier.outs.items():
                self.worktree.set(path, content)

    def _frozen(self, stage: Stage, found: _Found) -> None:
        """DVC takes the outputs of a frozen stage as they are, if they are there."""
        missing = [path for path in stage.outs if not self.worktree.exists(path)]
        if missing:
            advice = f"run `dvc checkout`, or `dvc unfreeze {stage.name.split('@')[0]}`"
            text = f"it is frozen, and {missing[0]} is missing: {advice}"
            self._step(stage, STOPS, [Reason("output", text, {"path": missing[0], "change": "deleted"})])
        else:
            self._step(stage, FROZEN, found.reasons, found.open)

    def _step(self, stage: Stage, outcome: str, reasons: Sequence[Reason] = (), after: Sequence[str] = ()) -> None:
        seconds = seconds_of(self.root, stage.name)
        self.steps[stage.name] = Step(stage.name, outcome, tuple(reasons), tuple(after), seconds)
        if outcome in (RUNS, MAY_RUN) and stage.name != RESOLVE:
            self.open.update(dict.fromkeys(stage.outs, stage.name))

    # --- what differs -----------------------------------------------------------------------------

    def _look_at(self, stage: Stage) -> _Found:
        entry = self.lock.get(stage.name)
        inputs, opened, missing = self._inputs(stage, entry)
        if entry is None:
            return _Found([Reason("first run", "it has not run yet")], [], opened, missing)
        read = list(self._values(stage, entry))
        if entry.cmd != stage.cmd:
            details = {"old": entry.cmd, "new": stage.cmd}
            read.append(Reason("command", f"its command is now: {stage.cmd}", details))
        written = [reason for path in stage.outs for reason in self._output(stage, path, entry)]
        read = once([*read, *inputs])
        if stage.added and not read and not written and stage.name in self.status:
            read = [Reason("file", "`dvc status` says that it changed")]
        return _Found(read, written, opened, missing)

    def _values(self, stage: Stage, last: Entry) -> Iterator[Reason]:
        for key in stage.params:
            yield from self.words.reasons(last.params.get(key, MISSING), _at(self.values, key), tuple(key.split(".")))

    def _inputs(self, stage: Stage, entry: Entry | None) -> tuple[list[Reason], list[str], list[str]]:
        """The differences, the stages that decide the rest, and what is not there."""
        reasons: list[Reason] = []
        opened: list[str] = []
        missing: list[str] = []
        for path in stage.deps:
            locked = entry.deps.get(path) if entry else None
            makers = self._makers(path)
            opened += makers
            if locked is None:
                reasons.append(file_reason(path, "new"))
            if makers:
                continue
            lost = [other for other in sorted(self.lost) if overlap(path, other)]
            if lost or not self.worktree.exists(path):
                missing += lost or [path]
            elif locked is not None and self.worktree.equals(path, locked) is not True:
                reasons += self._input(path, locked)
        return reasons, list(dict.fromkeys(opened)), missing

    def _makers(self, path: str) -> list[str]:
        return [maker for out, maker in self.open.items() if overlap(path, out)]

    def _input(self, path: str, locked: Content) -> list[Reason]:
        maker = next((name for name in self.steps if path in self.stages[name].outs), None)
        if maker is not None:
            text = f"the outputs of {maker} are not those of its last run"
            return [Reason("upstream", text, {"stage": maker})]
        before = listing_with(self.root, locked.md5) if locked.is_folder and (self.root / path).is_dir() else None
        if before is None:
            return [file_reason(path, "modified")]
        self.worktree.listings[path] = before
        changed = changed_files(self.root / path, before)
        return [file_reason(f"{path}/{name}", change) for name, change in changed.items()] or [
            file_reason(path, "modified")
        ]

    def _output(self, stage: Stage, path: str, entry: Entry) -> Iterator[Reason]:
        locked = entry.outs.get(path)
        if locked is None:
            yield output_reason(path, "new")
        elif not self.worktree.exists(path):
            yield output_reason(path, "deleted")
        elif self.worktree.equals(path, locked) is not True:
            yield output_reason(path, "modified")
        elif self._not_in_cache(stage, path, locked):
            yield output_reason(path, "not in cache")

    def _not_in_cache(self, stage: Stage, path: str, locked: Content) -> bool:
        if stage.name in self.worktree.looked_at:
            return self.worktree.at(path) in self.worktree.not_in_cache
        return path not in stage.uncached and not self.cache.holds(locked)

    def _gone(self, path: str) -> Reason:
        tracked = path in self.lost or (self.root / f"{path}.dvc").is_file()
        advice = "run `dvc checkout` or `dvc pull`" if tracked else "bring it back, or correct its path"
        return Reason("file", f"{path} is missing: {advice}", {"path": path, "change": "deleted"})

    # --- the run cache ----------------------------------------------------------------------------

    def _earlier(self, stage: Stage, found: _Found) -> tuple[Entry | None, bool]:
        """A run that DVC takes instead of running the stage, and whether it is sure to, whatever `found.open` write."""
        last, possible = self.lock.get(stage.name), None
        if stage.persist:
            return None, True
        if last is not None and not found.read and last.outs.keys() >= set(stage.outs):
            possible = last if self._held(stage, last) else None
            if not found.open:
                return possible, True
        wanted = {key: _at(self.values, key) for key in stage.params}
        contents = [None if self._makers(path) else self.worktree.known(path) for path in stage.deps]
        for run in self.cache.runs(stage.cmd, [content.md5 for content in contents if content is not None]):
            if run.params != wanted or run.deps.keys() != set(stage.deps) or run.outs.keys() != set(stage.outs):
                continue
            same = [None if self._makers(path) else self.worktree.equals(path, dep) for path, dep in run.deps.items()]
            if False in same:
                continue
            held = self._held(stage, run)
            if None not in same:  # DVC looks at the newest run alone
                return (run if held else None), True
            if held:
                return run, False
        return possible, False

    def _held(self, stage: Stage, run: Entry) -> bool:
        return all(path in run.outs and self.cache.holds(run.outs[path]) for path in stage.outs)


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part, MISSING) if isinstance(values, dict) else MISSING
    return values
