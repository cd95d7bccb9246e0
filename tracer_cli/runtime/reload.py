"""A router that goes over to the policy that its folder holds now, while it answers.

The new one is loaded beside the old one, with all the checks of a first load, runs once, and then takes its place; a
request ends with the policy that it began with. What cannot be loaded is refused and the old one goes on. A folder that
somebody is still writing is no error: it is tried again, until it has stayed as it is for too long.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracer_cli.embedders import Embedder
from tracer_cli.errors import (
    DataError,
    EmbedderError,
    PolicyError,
    PolicyIntegrityError,
    StorageError,
    TracerError,
)
from tracer_cli.runtime import policy_folder
from tracer_cli.runtime.policy_folder import MANIFEST, policy_id
from tracer_cli.runtime.router import BaseRouter, Router
from tracer_cli.runtime.text_embedder import EmbedFunction, TextEmbedder

logger = logging.getLogger("tracer")

# Embedded when a policy is loaded, so that the first request finds everything ready.
WARM_UP = "warm up"

# What may come of a folder that is being written, or of a model that cannot be had at the moment.
PASSING = (PolicyIntegrityError, StorageError, EmbedderError)

Stamp = tuple[str, int, int, int]
Event = Callable[[], None]


@dataclass
class _Trouble:
    """A policy that cannot be loaded. id: of its manifest, "" where there is none; since: when this was first seen;
    tried, stamps: when it was last tried, and the files then; told: it was reported."""

    id: str
    since: float
    error: TracerError
    tried: float
    stamps: frozenset[Stamp]
    passing: bool
    told: bool


class LiveRouter(BaseRouter):
    """A router whose policy is that of the folder, as it is now.

    A daemon thread looks at manifest.json every `seconds`; it ends with `close()`, at the end of a `with` block, or
    when nobody holds the router any more. `check()` looks at once.
    """

    def __init__(
        self,
        path: str | Path = ".tracer",
        seconds: float | None = 2.0,
        embedder: Embedder | EmbedFunction | None = None,
        target: float | None = None,
        *,
        targets: Sequence[float] = (),
        texts: bool = True,
        patience: float = 30.0,
        on_reload: Callable[[str, str], None] | None = None,
        on_refused: Callable[[TracerError], None] | None = None,
    ) -> None:
        """path, embedder, target: as in load_router.

        seconds: between two looks; None: only `check()` looks. targets: those that calls will ask for; a policy that
        certifies one of them not is refused, as with `target`. texts: False where only vectors are routed: the policy's
        own embedder is then not loaded before a text comes. patience: seconds for which a folder may be incomplete
        before that is reported. on_reload(old id, new id), on_refused(error): called in the thread that looked.

        Raises what load_router does for the policy that is there now.
        """
        if seconds is not None and not 0 < seconds <= threading.TIMEOUT_MAX:
            raise DataError(f"a router looks every so many seconds, more than 0, whether to reload, not {seconds!r}")
        self._path = Path(path)
        self._given = embedder
        self._asked = (target, *targets)
        self._embeds = texts
        self._patience = patience
        self._on_reload, self._on_refused = on_reload, on_refused
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._trouble: _Trouble | None = None
        self._told: set[str] = set()
        self._counts = {"loaded": 0, "refused": 0}
        self._router = self._load(None)
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._start()
        _all.add(self)

    @property
    def current(self) -> Router:
        return self._router

    @property
    def reloads(self) -> dict[str, int]:
        """How many policies were loaded after the first, and how many were refused."""
        return dict(self._counts)

    @property
    def problem(self) -> TracerError | None:
        """Why the policy that lies in the folder now is not the one that answers; None when it is."""
        trouble = self._trouble
        return None if trouble is None else trouble.error

    def check(self) -> bool:
        """Look at once, whatever the clock says. True when another policy has been loaded by this.

        Raises nothing because of the folder: what is wrong with it is in `problem`.
        """
        before = self._router
        self._look(thorough=True)
        return self._router is not before

    def close(self, timeout: float | None = None) -> None:
        """End the thread, after a load that it is busy with, if `timeout` seconds are enough for that.

        The router goes on with the policy that it has.
        """
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def __enter__(self) -> LiveRouter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        if self._seconds is not None and not self._stop.is_set():
            arguments = (weakref.ref(self), self._stop, self._seconds)
            self._thread = threading.Thread(target=_watch, args=arguments, name="tracer-reload", daemon=True)
            self._thread.start()

    def _look(self, thorough: bool = False) -> None:
        with self._lock:
            event = self._step(thorough)
        if event is not None:
            event()

    def _step(self, thorough: bool) -> Event | None:
        """What is to be told, once the lock is free."""
        stamp = next(_stamps(self._path / MANIFEST), None)
        trouble, now = self._trouble, time.monotonic()
        if not thorough and (stamp == self._stamp if trouble is None else self._hopeless(trouble, now)):
            return None
        found = ""
        try:
            found = policy_id(policy_folder.manifest_bytes(self._path))
            if found == self._router.policy_id:
                self._stamp, self._trouble = stamp, None
                return None
            new = self._load(self._router)
            if policy_id(policy_folder.manifest_bytes(self._path)) != new.policy_id:
                raise PolicyIntegrityError(f"{self._path / MANIFEST} changed while the policy was loaded")
        except Exception as error:
            return self._failed(found, error, now)
        old, self._router = self._router, new
        self._stamp, self._trouble = stamp, None
        self._told.discard(found)
        self._counts["loaded"] += 1
        return lambda: self._tell_reload(old.policy_id, new.policy_id)

    def _load(self, old: Router | None) -> Router:
        """The policy in the folder, checked and run once."""
        folder = policy_folder.load(self._path)
        embedder: Embedder | EmbedFunction | TextEmbedder | None = self._given
        if (
            old is not None
            and embedder is None
            and old._texts.fingerprint == folder.manifest["embedder"]["fingerprint"]
        ):
            embedder = old._texts
        target, *others = self._asked
        new = Router(folder, embedder, target)
        for other in others:
            new._threshold(other)
        new.decide(np.zeros((1, new.dim), np.float32))
        embedded = old is not None and old._texts.used
        if new._texts is not (old and old._texts) and (self._embeds or embedded):
            # Where no text could be embedded so far, vectors are routed, and that goes on.
            with contextlib.nullcontext() if embedded else contextlib.suppress(EmbedderError):
                new.embed([WARM_UP])
        return new

    def _hopeless(self, trouble: _Trouble, now: float) -> bool:
        """Whether trying again would only find the same, as far as can be told without reading."""
        if not trouble.told or trouble.stamps != frozenset(_stamps(self._path)):
            return False
        return not trouble.passing or now - trouble.tried < self._patience

    def _failed(self, found: str, cause: Exception, now: float) -> Event | None:
        error = cause if isinstance(cause, TracerError) else PolicyError(f"{self._path} cannot be loaded: {cause!r}")
        passing = isinstance(cause, PASSING) or not self._is_whole(found)
        last = self._trouble
        if last is not None and last.id == found:
            since, told = last.since, last.told
        else:
            since, told = now, False
        stamps = frozenset(_stamps(self._path))
        self._trouble = trouble = _Trouble(found, since, error, now, stamps, passing, told)
        if trouble.told or (passing and now - since < self._patience):
            return None
        trouble.told = True
        if found in self._told:
            return None
        if found:
            self._told.add(found)
        self._counts["refused"] += 1
        if passing:
            error = trouble.error = type(error)(f"{error} (it has been so for {now - since:.0f} s)")
        return lambda: self._tell_refused(error)

    def _is_whole(self, found: str) -> bool:
        """Whether what was refused is what still lies there, complete: then it will not get better."""
        try:
            return policy_folder.load(self._path).id == found
        except PASSING:
            return False
        except TracerError:
            return found != ""

    def _tell_reload(self, old: str, new: str) -> None:
        logger.info("%s: policy %s is loaded and takes the place of %s", self._path, new, old)
        _call(self._on_reload, old, new)

    def _tell_refused(self, error: TracerError) -> None:
        logger.error("the policy in %s is refused, %s goes on: %s", self._path, self.policy_id, error)
        _call(self._on_refused, error)


_all: weakref.WeakSet[LiveRouter] = weakref.WeakSet()


def _watch(router: weakref.ref[LiveRouter], stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        live = router()
        if live is None:
            return
        try:
            live._look()
        except Exception:
            logger.exception("looking at %s failed", live._path)
        del live


def _call(callback: Callable[..., None] | None, *arguments: object) -> None:
    try:
        if callback is not None:
            callback(*arguments)
    except Exception:
        logger.exception("a callback of the router failed")


def _stamps(path: Path) -> Iterator[Stamp]:
    """Of a file, or of the files of a policy folder: what changes when one is written or replaced."""
    try:
        files = [*path.iterdir(), *(path / "embedder").rglob("*")] if path.is_dir() else [path]
        for file in files:
            stat = file.stat()
            if not file.is_dir():
                yield str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino
    except OSError:  # gone meanwhile: the next look sees another set
        return


def _after_fork() -> None:
    """A child has the routers and none of their threads; what such a thread held then is never released."""
    for router in list(_all):
        closed = router._stop.is_set()
        router._lock, router._stop = threading.Lock(), threading.Event()
        if closed:
            router._stop.set()
        router._start()


def _at_exit() -> None:
    """No thread is in the middle of a load when the interpreter is taken down."""
    for router in list(_all):
        router._stop.set()
    for router in list(_all):
        router.close(timeout=5)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
