"""Pull requests that cheat, each caught by the scaffolded job with a sentence that the reviewer reads.

Every case is a branch of one project, checked out afresh and put through the job's own steps. The sentences are quoted in
docs/ci.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.conftest import ROWS, settings
from ci.job import Job, github, gitlab
from support import REPOSITORY, DvcProject, example_traces, write_jsonl

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

COMPILED = "The compiled files are those of tracer.yaml"
RUN = "Run what changed"
GUARD = "The guard, recomputed"

# What the reviewer reads, as docs/ci.md quotes it; BASE is the commit that the refit is compared with, and
# TRUE the value that was there, whose last digits are those of the machine.
LOOSENED = (
    "loosened: weaker than at `BASE`: `targets.agreement` 0.7 -> 0.6 (tracer.yaml:8): coverage at a lower target is "
    "bought with parity"
)
JUNK = (
    "traces: data/traces/*.jsonl: 60 of 560 rows (10.7 %) cannot be used:",
    "data/traces/a.jsonl, line 501: the label (teacher) is missing",
    "More than max_rejected (5 %) of the rows is an error.",
)
EDITED = "committed: metrics/guard.json is not what `dvc repro` makes of this commit: run `dvc repro` and commit what it writes"
FORGED = (
    "recomputed: metrics/guard.json: certified_coverage is 0.99 in the file but TRUE when recomputed from the artifacts"
)
MANIFEST = (
    "recomputed: .tracer/manifest.json: targets[1].threshold is 0.3 in the file but TRUE when recomputed "
    "from the artifacts"
)
PARAMS = (
    "calibrate.targets.agreement is 0.6 here and 0.7 by tracer.yaml: write targets.agreement at tracer.yaml:8",
    "error: stale: params.yaml; run `tracer compile`",
)
LOCK = "dvc.lock is not what `dvc repro` makes of this commit: run `dvc repro` and commit what it writes"
NO_REPRO = (
    "committed: dvc.lock, metrics/guard.json, plots/frontier.json, plots/labels.csv, plots/targets.csv are not what "
    "`dvc repro` makes of this commit: run `dvc repro` and commit what it writes"
)
QUOTED = [LOOSENED, *JUNK, EDITED, FORGED, MANIFEST, *PARAMS, LOCK, NO_REPRO]


@pytest.fixture
def job(author: DvcProject, fresh_clone: Callable[[], Path], tmp_path: Path) -> Callable[[], Job]:
    """The job of a pull request with what was done to the project."""
    return lambda: github(fresh_clone(), author.environment, tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.unlink()  # it may be a link into DVC's cache
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def judged(done: Job, rule: str, sentence: str) -> None:
    """The guard failed by this rule alone, and said so in the log and on the reviewer's page."""
    assert done.failed == (GUARD, 3), done.log
    assert f"error: the parity guard did not pass: {sentence}" in done.output[GUARD], done.log
    assert re.findall(r"fail \| `([\w-]+)` \|", done.summary) == [rule], done.summary


def test_an_honest_refit_passes(author: DvcProject, job: Callable[[], Job]) -> None:
    write_jsonl(author.root / "data" / "traces" / "b.jsonl", example_traces(2 * ROWS)[ROWS:])
    author.dvc("repro", "-q")
    author.dvc("push", "-q")
    done = job()
    assert done.failed is None, done.log
    assert "Running stage" not in done.output[RUN]  # all of it came from the remote
    assert "| rows read | 500 | 1,000 | +500 |" in done.summary
    assert "certified_coverage" in done.summary  # dvc metrics diff
    assert {"guard.md", "guard.xml", "changes.md", "report.html"} <= {path.name for path in done.review.iterdir()}


def test_a_lower_target_on_both_services_unless_it_is_accepted(
    author: DvcProject, fresh_clone: Callable[[], Path], tmp_path: Path
) -> None:
    (author.root / "tracer.yaml").write_text(settings(agreement=0.6))
    author.dvc("repro", "-q")
    author.dvc("push", "-q")
    base = author.git("rev-parse", "main").strip()
    sentence = LOOSENED.replace("BASE", base[:12])
    root = fresh_clone()
    done = github(root, author.environment, tmp_path, labels=["tracer: accept noise", "x, tracer: accept", "loosened"])
    judged(done, "loosened", sentence)
    assert "target lowered from 0.7 to 0.6" in done.summary
    done = github(root, author.environment, tmp_path, labels=["bug", "tracer: accept loosened"])
    assert done.failed is None, done.log
    assert "passed, with loosened accepted" in done.summary

    done = gitlab(root, author.environment, base)
    assert done.failed == ("script", 3), done.log
    assert f"error: the parity guard did not pass: {sentence}" in done.output["script"]
    assert "target lowered from 0.7 to 0.6" in done.summary
    done = gitlab(root, author.environment, base, labels=["bug", "tracer: accept loosened"])
    assert done.failed is None, done.log


def test_unlabelled_junk(author: DvcProject, job: Callable[[], Job]) -> None:
    path = author.root / "data" / "traces" / "a.jsonl"
    write_jsonl(path, [*example_traces(ROWS), *({"input": f"junk {i}"} for i in range(60))])
    done = job()
    assert done.failed == (RUN, 255), done.log
    for sentence in JUNK:
        assert sentence in done.output[RUN]
        assert sentence in done.summary


def better_coverage(author: DvcProject) -> str:
    """Write 0.99 into the metrics; returns what was there."""
    path = author.root / "metrics" / "guard.json"
    coverage = str(json.loads(path.read_text())["certified_coverage"])
    edit(path, f'"certified_coverage": {coverage}', '"certified_coverage": 0.99')
    return coverage


def test_metrics_edited_by_hand(author: DvcProject, job: Callable[[], Job]) -> None:
    better_coverage(author)
    judged(job(), "committed", EDITED)


def test_metrics_forged_with_a_lock_that_fits(author: DvcProject, job: Callable[[], Job]) -> None:
    coverage = better_coverage(author)
    author.dvc("commit", "-q", "--force", "guard")
    author.dvc("push", "-q")
    assert "up to date" in author.dvc("status")
    judged(job(), "recomputed", FORGED.replace("TRUE", coverage))


def test_a_forged_manifest(author: DvcProject, job: Callable[[], Job]) -> None:
    """A lower threshold: more is answered, with less agreement."""
    path = author.root / ".tracer" / "manifest.json"
    threshold = json.loads(path.read_text())["targets"][1]["threshold"]
    edit(path, f'"threshold": {threshold}', '"threshold": 0.3')
    author.dvc("commit", "-q", "--force", "guard")
    author.dvc("repro", "-q")
    author.dvc("push", "-q")
    assert "up to date" in author.dvc("status")
    judged(job(), "recomputed", MANIFEST.replace("TRUE", str(threshold)))


def test_params_edited_by_hand(author: DvcProject, job: Callable[[], Job]) -> None:
    edit(author.root / "params.yaml", "agreement: 0.7", "agreement: 0.6")
    done = job()
    assert done.failed == (COMPILED, 2), done.log
    for sentence in PARAMS:
        assert sentence in done.output[COMPILED]
        assert sentence in done.summary


def test_another_tracer_yaml_without_a_repro(author: DvcProject, job: Callable[[], Job]) -> None:
    (author.root / "tracer.yaml").write_text(settings(agreement=0.69))
    author.tracer("compile")
    done = job()
    assert done.failed == (GUARD, 3), done.log
    assert NO_REPRO in done.output[GUARD]


def test_more_traces_without_a_repro(author: DvcProject, job: Callable[[], Job]) -> None:
    write_jsonl(author.root / "data" / "traces" / "b.jsonl", example_traces(ROWS + 50)[ROWS:])
    done = job()
    assert done.failed == (GUARD, 3), done.log
    assert "`committed` | dvc.lock, metrics/guard.json, metrics/traces.json, " in done.summary


def test_a_lock_edited_by_hand(author: DvcProject, job: Callable[[], Job]) -> None:
    """It names a candidate that is nowhere."""
    lock = author.root / "dvc.lock"
    digest = re.search(r"path: artifacts/candidate\n      hash: md5\n      md5: (\w+)", lock.read_text())
    assert digest
    edit(lock, digest[1], "0" * 32)
    judged(job(), "committed", f"committed: {LOCK}")


def test_the_page_on_ci_quotes_what_the_reviewer_reads() -> None:
    page = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    patterns = [re.escape(sentence).replace("TRUE", r"0\.\d+") for sentence in QUOTED]
    assert [pattern for pattern in patterns if not re.search(pattern, page)] == []
