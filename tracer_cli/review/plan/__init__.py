"""`tracer plan`: what `dvc repro` would do, and why."""
