"""One fixed text, by whose vector a model that is out of sight is known again.

A fingerprint says how vectors are asked for. Whether what answers is still the same, only a vector can say: so
a saved embedder keeps the probe's, and it is compared before the embedder is used again.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from tracer_cli.embedders.base import SPEC, Floats, checked
from tracer_cli.errors import EmbedderError, EmbedderMismatchError

TEXT = "My order 4711 was to arrive on Monday, and it is not here yet. Where is it?"

# Cosine similarity of the probe's vectors, then and now, that is still the same model. With all-MiniLM-L6-v2 and four
# texts: above 0.9999 when it is computed in bfloat16 or float16, or its vectors are sent as 8-bit integers; but 0.998
# after noise of 2 % on its weights, as a little further training makes, and 0.91 to 0.97 with weights of 8 bits.
SAME_MODEL = 0.999

# The longest relative distance that this allows vectors of one length; so far may lengths differ, too.
LARGEST_DISTANCE = (2 * (1 - SAME_MODEL)) ** 0.5


def alike(then: Floats, now: Floats) -> bool:
    """Whether two vectors (dim,) of the probe are of the same model."""
    if len(then) != len(now):
        return False
    a, b = then.astype(np.float64), now.astype(np.float64)
    return bool(np.linalg.norm(a - b) <= LARGEST_DISTANCE * max(np.linalg.norm(a), np.linalg.norm(b)))


def require_alike(then: Floats, now: Floats, what: str) -> None:
    """EmbedderMismatchError unless they are of the same model. what: names the model in the error."""
    if alike(then, now):
        return
    a, b = then.astype(np.float64), now.astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = f"{float(a @ b) / lengths:.4f}" if len(a) == len(b) and lengths else "none"
    raise EmbedderMismatchError(
        f"the model behind {what} is another one now: a fixed text's vector has cosine similarity {cosine} "
        f"with the one at the fit (the same model gives {SAME_MODEL} or more), length {np.linalg.norm(b):.4g} after "
        f"{np.linalg.norm(a):.4g}; fit again, or serve the model of the fit"
    )


def to_spec(vector: Floats) -> dict[str, Any]:
    """What spec.json keeps, on one line."""
    encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return {"probe": {"text": TEXT, "vector": encoded}}


def from_spec(spec: dict[str, Any]) -> Floats:
    """The vector (dim,) again. Raises EmbedderError, KeyError or TypeError for a spec that is damaged."""
    try:
        vector = np.frombuffer(base64.b64decode(spec["probe"]["vector"], validate=True), "<f4")
    except ValueError as error:
        raise EmbedderError(f"the probe in {SPEC} is damaged ({error}); fit again") from error
    if spec["probe"]["text"] != TEXT:
        raise EmbedderError(f"the probe in {SPEC} is of another version of tracer; fit again")
    if len(vector) != spec["dim"]:
        raise EmbedderError(f"the probe in {SPEC} is damaged: it has not the dimension {spec['dim']}; fit again")
    probe: Floats = checked(vector[None], 1, what=f"the probe in {SPEC}")[0]
    return probe
