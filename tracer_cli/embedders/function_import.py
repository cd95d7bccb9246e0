"""Finding a function by `package.module:function`, in the project's folder first."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tracer_cli.errors import EmbedderError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_importing = threading.RLock()


@contextlib.contextmanager
def from_folder(root: Path) -> Iterator[None]:
    """Imports look into `root` first, for as long as the block runs."""
    entry = str(root.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def find(name: str, root: Path) -> tuple[Any, str | None]:
    """The function, and the file of the module that is named.

    Raises EmbedderError when the name is none, leads to no function, or its module cannot be imported.
    """
    if not _NAME.fullmatch(name):
        raise EmbedderError(f"embedder.function: {name!r} is not of the form package.module:function")
    module_name, _, attributes = name.partition(":")
    module = _module(name, module_name, root)
    found: Any = module
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise EmbedderError(
                f"embedder.function: {name!r} leads nowhere: {_place(found, module_name)} has no {attribute!r}"
            ) from None
    if not callable(found):
        raise EmbedderError(f"embedder.function: {name!r} is no function but of type {type(found).__name__}")
    return found, getattr(module, "__file__", None)


def _module(name: str, module_name: str, root: Path) -> ModuleType:
    from tracer_cli.embedders.callable import told

    with _importing, from_folder(root), _aside(module_name, root):
        importlib.invalidate_caches()
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
                raise EmbedderError(
                    f"embedder.function: there is no module {error.name!r} for {name!r}, neither in the folder "
                    f"{root.resolve()} nor among the packages of {sys.executable}"
                ) from None
            raise EmbedderError(f"embedder.function: importing {module_name} failed: {told(error)}") from error
        except (Exception, SystemExit) as error:
            raise EmbedderError(f"embedder.function: importing {module_name} failed: {told(error)}") from error


@contextlib.contextmanager
def _aside(module_name: str, root: Path) -> Iterator[None]:
    """Take modules of the same names that are loaded from elsewhere out of the way, and put them back."""
    path = root.resolve().joinpath(*module_name.split("."))
    if not (path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()):
        yield
        return
    names = module_name.split(".")
    loaded = (sys.modules.get(".".join(names[:n])) for n in range(1, len(names) + 1))
    files = (getattr(module, "__file__", None) for module in loaded if module is not None)
    if all(file is None or root.resolve() in Path(file).resolve().parents for file in files):
        yield
        return
    top = names[0]
    others = {key: value for key, value in sys.modules.items() if key == top or key.startswith(f"{top}.")}
    for key in others:
        del sys.modules[key]
    try:
        yield
    finally:
        for key in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
            del sys.modules[key]
        sys.modules.update(others)


def _place(found: Any, module_name: str) -> str:
    if isinstance(found, ModuleType):
        return f"{found.__name__} ({getattr(found, '__file__', None) or 'a namespace'})"
    return f"{module_name}:{getattr(found, '__qualname__', type(found).__qualname__)}"
