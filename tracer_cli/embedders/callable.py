"""A Python function of the project's own: a list of texts in, a matrix of vectors out.

A saved embedder names its function, and loading a folder must not run what the folder names: `load` refuses.
Whoever serves such a policy says which function it is (`embedders.load_callable`, `Embedder.from_callable`),
and the fingerprint says whether it is the one of the fit.
"""

from __future__ import annotations

import inspect
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tracer_cli.artifacts import sha256_json, write_json
from tracer_cli.embedders import function_identity, probe
from tracer_cli.embedders.base import SPEC, Embedder, Floats, checked, spec_of, unit
from tracer_cli.embedders.function_import import find, from_folder
from tracer_cli.errors import EmbedderError

KIND = "callable"

Function = Callable[[list[str]], ArrayLike]

# What a function's files were when it was first seen: its code is of that time.
_seen: weakref.WeakKeyDictionary[Function, object] = weakref.WeakKeyDictionary()


class CallableEmbedder(Embedder):
    """Calls the function with at most `batch_size` texts at once, and checks what it returns.

    While it runs, modules in the project's folder can be imported, as when it was found.
    """

    kind = KIND
    cacheable = True

    def __init__(self, settings: dict[str, Any], root: Path, function: Function, identity: object) -> None:
        """settings: the callable section, complete. identity: JSON value that changes with the function's code."""
        self._settings = settings
        self._root = root
        self._function = function
        self._identity = identity
        self._expected: Floats | None = None
        self._probe: Floats | None = None

    @property
    def dim(self) -> int:
        """The length of the probe's vector, for which the function is called once with one short text."""
        return len(self._first())

    @property
    def fingerprint(self) -> str:
        """Of the function's name, revision and code (its file in the project, its package's version elsewhere)."""
        names = ("function", "revision", "prefix", "normalize")
        settings = {name: self._settings[name] for name in names}
        return f"{KIND}:{sha256_json([KIND, self.dim, settings, self._identity])}"

    def expect(self, spec: dict[str, Any]) -> None:
        self._expected = probe.from_spec(spec)

    def witness(self) -> Floats:
        return self._first()

    def recognises(self, witness: Floats) -> bool:
        return probe.alike(witness, self._first())

    def embed(self, texts: Sequence[str]) -> Floats:
        vectors = np.empty((len(texts), self.dim), np.float32)
        for rows, part in self.batches(texts):
            vectors[rows.start : rows.stop] = part
        return vectors

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        size, dim = self._settings["batch_size"], self.dim
        for start in range(0, len(texts), size):
            rows = range(start, min(start + size, len(texts)))
            yield rows, checked(self._call(texts[start : rows.stop]), len(rows), dim, what=self._what)

    def save(self, folder: Path) -> None:
        """The function's name, the settings and the probe's vector; not its code."""
        write_json(folder / SPEC, spec_of(self, self._settings) | probe.to_spec(self._first()))

    def _first(self) -> Floats:
        """The probe's vector; EmbedderMismatchError when it is not the expected one."""
        if self._probe is None:
            self._probe = self._call([probe.TEXT])[0]
        if self._expected is not None:
            probe.require_alike(self._expected, self._probe, f"the function {self._settings['function']}")
        return self._probe

    @property
    def _what(self) -> str:
        return f"what embedder.function {self._settings['function']} returned"

    def _call(self, texts: Sequence[str]) -> Floats:
        prefix = self._settings["prefix"] or ""
        try:
            with from_folder(self._root):
                result = self._function([prefix + text for text in texts])
                if inspect.iscoroutine(result):
                    result.close()
                    raise TypeError("it is async; an ordinary function is expected")
                result = np.array(result)  # a copy: the function may use its own array again
        except Exception as error:
            raise EmbedderError(f"embedder.function {self._settings['function']} failed: {told(error)}") from error
        vectors = checked(result, len(texts), what=self._what)
        return unit(vectors) if self._settings["normalize"] else vectors


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> CallableEmbedder:
    """The function that the settings name, found from `root` first; EmbedderError when there is none."""
    settings = {name: value for name, value in settings.items() if name != "kind"}
    function, file = find(settings["function"], root)
    return CallableEmbedder(settings, root, function, _identity(settings["function"], file, function))


def load(folder: Path, spec: dict[str, Any], root: Path) -> Embedder:
    name = spec["settings"]["function"]
    raise EmbedderError(
        f"{folder} names the function {str(name)[:100]!r} as its embedder, and a folder may not name code to run: "
        "route vectors, or say yourself which function may run: load_router(..., embedder=Embedder.from_callable(...)) "
        "with the settings of the fit, or `tracer route --callable package.module:function`"
    )


def of_function(function: Function, settings: dict[str, Any]) -> CallableEmbedder:
    """As `fit` for a function object; one that cannot be imported by its name is known by name and code."""
    from tracer_cli.embedders import validated

    if not callable(function):
        raise EmbedderError(f"from_callable takes a function or its name, not {type(function).__name__}")
    name, importable = function_identity.name_of(function)
    # The name of a lambda is none that tracer.yaml could hold.
    section = {**validated({"kind": KIND, "function": "package.module:function", **settings}), "function": name}
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    identity = _identity(name, file, function) if importable else function_identity.of_code(function)
    embedder = CallableEmbedder(section, Path.cwd(), function, identity)
    embedder.cacheable = importable  # what a closure holds on to may change and the fingerprint not
    return embedder


def told(error: BaseException) -> str:
    """The last line of the traceback, and the place in the user's own code that led there."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith((str(Path(__file__).parent), "<frozen"))
    ]
    own = [f for f in frames if function_identity.INSTALLED.isdisjoint(Path(f.filename).parts)] or frames
    where = f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}, line {error.lineno}"
    last = " ".join(traceback.format_exception_only(type(error), error)[-1].split())[:500]
    return f"{last} ({where})" if where else last


def _identity(name: str, file: str | None, function: Function) -> object:
    """Of the files as they are, if they are still those that the function was imported from."""
    identity = function_identity.of_files(name, file, function)
    try:
        first = _seen.setdefault(function, identity)
    except TypeError:  # of a kind that cannot be watched
        return identity
    if first != identity:
        raise EmbedderError(
            f"embedder.function {name}: its file has changed since this process imported it; start Python again"
        )
    return identity
