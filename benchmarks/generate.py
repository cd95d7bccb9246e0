"""Generated traces of any number with vectors: the same for the same arguments, in blocks of bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 10_000
DIM = 384
LABELS = 77
# Length of the noise beside a centre of length 1: the smallest and the largest. The share of labels that are random.
NOISE = (0.5, 5.0)
WRONG = 0.03


@dataclass(frozen=True)
class Block:
    texts: list[str]
    teacher: list[str]
    vectors: NDArray[np.float32]


def blocks(rows: int, seed: int = 0) -> Iterator[Block]:
    """Unit vectors around LABELS centres, some clear, some not; distinct texts. The centres are always the same."""
    centres = _unit(np.random.default_rng(0).standard_normal((LABELS, DIM)))
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        rng = np.random.default_rng([seed, start])
        true = rng.integers(LABELS, size=count)
        noise = _unit(rng.standard_normal((count, DIM))) * rng.uniform(*NOISE, size=(count, 1))
        given = np.where(rng.random(count) < WRONG, rng.integers(LABELS, size=count), true)
        yield Block(
            texts=[f"request {seed}-{start + i} about subject {subject}" for i, subject in enumerate(true)],
            teacher=[f"label_{label:02d}" for label in given],
            vectors=_unit(centres[true] + noise).astype(np.float32),
        )


def write(folder: Path, rows: int, seed: int = 0) -> tuple[Path, Path]:
    """traces.jsonl and vectors.npy in `folder`."""
    traces, vectors = folder / "traces.jsonl", folder / "vectors.npy"
    matrix = np.lib.format.open_memmap(vectors, mode="w+", dtype=np.float32, shape=(rows, DIM))
    done = 0
    with traces.open("w", encoding="utf-8") as file:
        for block in blocks(rows, seed):
            matrix[done : done + len(block.texts)] = block.vectors
            done += len(block.texts)
            for text, label in zip(block.texts, block.teacher, strict=True):
                file.write(json.dumps({"input": text, "teacher": label}) + "\n")
    matrix.flush()
    return traces, vectors


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
