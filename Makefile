.PHONY: help install format lint types imports docs test check

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install:  ## the package in editable mode with what development needs
	pip install -e ".[dev]"

format:  ## write the files in the project's format
	ruff format . && ruff check --fix .

lint:  ## format and lint, without writing
	ruff format --check . && ruff check .

types:  ## mypy, strict, on the package
	mypy

imports:  ## the direction of imports
	lint-imports

docs:  ## write docs/cli.md, docs/configuration.md and docs/errors.md anew
	TRACER_WRITE_GOLDEN=1 pytest -q -n0 tests/cli/test_reference.py tests/config/test_reference.py tests/config/test_errors.py

test:  ## all tests that need no model and no real traces
	pytest

check: lint types imports test  ## everything
