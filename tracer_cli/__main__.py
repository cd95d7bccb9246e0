"""`python -m tracer_cli` is `tracer`."""

import sys

from tracer_cli.cli import run

if __name__ == "__main__":
    sys.exit(run())
