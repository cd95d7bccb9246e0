"""Stages that take no time, for tests of what DVC runs and not of what a stage computes; resolve stays the real one."""

from __future__ import annotations

from pathlib import Path

from support import DvcProject

# What each stage reads and writes. The report's sources are fewer than in dvc.yaml, the models are found in a folder.
_TRACES = [f"artifacts/traces/{name}.parquet" for name in ("fit", "holdout", "holdout_labels")]
_PLACES = {
    "ingest": (
        ["data/traces"],
        [*_TRACES, *(f"artifacts/traces/{name}" for name in ("rejected.jsonl", "teacher.json")), "metrics/traces.json"],
    ),
    "embed": (_TRACES[:2], ["artifacts/vectors/fit.npy", "artifacts/vectors/holdout.npy", "artifacts/embedder"]),
    "train": ([_TRACES[0], "artifacts/vectors/fit.npy"], ["artifacts/models/MODEL"]),
    "calibrate": (["artifacts/models", "artifacts/vectors/fit.npy"], ["artifacts/candidate"]),
    "guard": (
        ["artifacts/candidate", "artifacts/embedder", _TRACES[2]],
        [
            *(f".tracer/{name}" for name in ("manifest.json", "policy.onnx", "embedder", "frontier.json")),
            *("artifacts/guard/rows.parquet", "metrics/guard.json", "plots/targets.csv"),
        ],
    ),
    "report": (
        [".tracer/manifest.json", "metrics/traces.json"],
        [".tracer/report.html", ".tracer/qualitative_report.json", "plots/frontier.json", "plots/labels.csv"],
    ),
}

# Every output is one of four texts, by what the stage reads: a change above often changes nothing below.
_SCRIPT = """
import hashlib, os, sys
stage, *model = [word for word in sys.argv[2:] if word != "--model"]
def files(place):
    return [place] if os.path.isfile(place) else sorted(os.path.join(a, c) for a, _, b in os.walk(place) for c in b)
read, written = {places!r}[stage]
digest = hashlib.md5()
for place in read:
    for file in files(place):
        digest.update(open(file, "rb").read())
for place in written:
    place = place.replace("MODEL", "".join(model))
    if "." not in os.path.basename(place):
        place += "/x"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    open(place, "w").write(place + "0123"[digest.digest()[0] % 4])
"""


def install(project: DvcProject, home: Path) -> None:
    """Every stage but resolve is a small script from here on; `home` is the one that the project was made with."""
    script = home / "stand_in.py"
    script.write_text(_SCRIPT.format(places=_PLACES))
    shim = home / "bin" / "tracer"
    real = shim.read_text().splitlines()[-1]
    shim.write_text(f'#!/bin/sh\nif [ "$2" = resolve ]; then {real}; fi\nexec python3 -S -E "{script}" "$@"\n')
