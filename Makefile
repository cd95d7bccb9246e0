.PHONY: help install format lint types imports test check

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

test:  ## all tests that need no model and no real traces
	pytest

check: lint types imports test  ## everything
