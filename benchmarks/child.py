"""A function in a fresh process of its own: the side that runs it. Started by `isolated.call`."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path


def main(request: Path, answer: Path, scratch: Path) -> None:
    wanted = json.loads(request.read_text())
    if wanted["cpus"]:
        os.sched_setaffinity(0, wanted["cpus"])
    module, name = wanted["function"].split(":")
    result = getattr(import_module(module), name)(scratch, **wanted["arguments"])
    answer.write_text(json.dumps(result))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
