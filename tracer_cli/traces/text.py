"""The identity of a text: its normalised form, its key, and the place that the split gives it."""

from __future__ import annotations

import hashlib
import math
import unicodedata


def normalise(text: str) -> str:
    """NFC, every run of white space (as `str.split` knows it) one space, none at the ends; case is kept."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_key(normalised: str) -> str:
    """sha256 of a normalised text, in hex: two texts are the same text when their keys are equal."""
    return hashlib.sha256(normalised.encode("utf-8")).hexdigest()


def split_position(normalised: str, seed: int) -> int:
    """The text's place in [0, 2**64), from a salted hash, independent of every other text."""
    digest = hashlib.sha256(f"tracer.split.v1:{seed}:{normalised}".encode())
    return int.from_bytes(digest.digest()[:8], "big")


def sample_position(normalised: str, seed: int) -> int:
    """As `split_position`, and independent of it: which texts are drawn says nothing about their side."""
    digest = hashlib.sha256(f"tracer.sample.v1:{seed}:{normalised}".encode())
    return int.from_bytes(digest.digest()[:8], "big")


def split_bound(share: float) -> int:
    """The texts whose position is below this number are the holdout: position / 2**64 < share."""
    return math.ceil(share * 2.0**64)
