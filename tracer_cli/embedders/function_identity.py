"""What tells one function's code from another's, as a value that is the same in every process."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import CodeType
from typing import Any

from tracer_cli.artifacts import sha256_file, sha256_json
from tracer_cli.errors import EmbedderError

INSTALLED = {"site-packages", "dist-packages"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))

AnyFunction = Callable[..., Any]


def name_of(function: AnyFunction) -> tuple[str, bool]:
    """module:qualname, and whether that can be imported and is this very object."""
    module = getattr(function, "__module__", None) or type(function).__module__
    qualname = getattr(function, "__qualname__", type(function).__qualname__)
    found: Any = sys.modules.get(module)
    for attribute in qualname.split("."):
        found = getattr(found, attribute, None)
    return f"{module}:{qualname}", found is function and module != "__main__"


def of_files(name: str, named: str | None, function: AnyFunction) -> list[dict[str, str]]:
    """The module that is named and, where that is another one, the file that defines the function.

    named: the file of the module in `name`. Of an installed package its version counts, since its files need not
    be the same bytes on each machine; of any other file its contents.
    """
    code = _code(function)
    module = getattr(function, "__module__", None) or name
    files: dict[Path, str] = {}
    for file, place in ((named, name), (code and code.co_filename, module)):
        if file:
            files.setdefault(Path(file).resolve(), place.partition(":")[0].partition(".")[0])
    return [_of_file(file, package) for file, package in files.items()]


def of_code(function: AnyFunction) -> dict[str, str]:
    """The compiled code, the plain values that it holds on to, and the version of Python that it is compiled for."""
    code = _code(function)
    if code is None:
        raise EmbedderError(
            f"{function!r} has no Python code that a fingerprint could be made of; wrap it in a function"
        )
    plain = inspect.unwrap(getattr(function, "__func__", function))
    held = [*(getattr(plain, "__defaults__", None) or ()), *(getattr(plain, "__kwdefaults__", None) or {}).values()]
    for cell in getattr(plain, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not yet filled
            held.append(cell.cell_contents)
    parts = [_value(code), [_value(value) for value in held if isinstance(value, _PLAIN)]]
    return {"code": sha256_json(parts)}


def _code(function: AnyFunction) -> CodeType | None:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(plain, "__code__", None) or getattr(type(plain).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _value(value: object) -> Any:
    """As JSON, equal in every process: no address, and a set in order."""
    if isinstance(value, CodeType):
        names = [value.co_name, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars]
        return [*names, value.co_flags, value.co_code.hex(), [_value(constant) for constant in value.co_consts]]
    if isinstance(value, tuple):
        return ["tuple", *(_value(part) for part in value)]
    if isinstance(value, frozenset):
        return ["set", *sorted((_value(part) for part in value), key=repr)]
    return [type(value).__name__, repr(value)]


def _of_file(file: Path, package: str) -> dict[str, str]:
    if not INSTALLED.isdisjoint(file.parts):
        with contextlib.suppress(metadata.PackageNotFoundError, KeyError):
            distribution = metadata.packages_distributions()[package][0]
            return {"package": distribution, "version": metadata.version(distribution)}
    return {"sha256": sha256_file(file)} if file.is_file() else {"file": file.name}
