"""What must never be shown: credentials are taken out of every message, wherever in it they stand."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, quote, unquote

from tracer_cli.errors import TracerError

MASK = "***"

_VARIABLE = re.compile(
    r"passw|secret|token|credential|(access|api|storage|private|account)_?key|connection_?string", re.I
)
# Parameters of libpq whose values belong into an error.
_HARMLESS = {"host", "hostaddr", "port", "dbname", "sslmode", "connect_timeout", "target_session_attrs"}
_HARMLESS |= {"application_name", "channel_binding", "gssencmode", "sslnegotiation"}
_SERVERS = ("postgresql", "postgres")
_LEAST = 6  # a shorter value of a variable, such as 1 or true, is no secret and a common part of messages
_LEAST_PIECE = 3


class Secrets:
    """The credentials of one source: those of its URL, and those that the environment holds for any program."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        anywhere: set[str] = set()
        words: set[str] = set()
        login = _login(url)
        if login:
            user, _, password = login.partition(":")
            words |= {user, unquote(user)}
            anywhere |= _spellings(password)
            # Where a mark in the password is not escaped, a driver takes a piece of it for the host or the port.
            anywhere |= {piece for piece in re.split(r"[:@/?#&=\[\],]", password) if len(piece) >= _LEAST_PIECE}
        for name, value in parse_qsl(url.partition("?")[2]):
            if name not in _HARMLESS:
                anywhere |= _spellings(value)
        for name, value in environment.items():
            if name == "PGPASSWORD" or (_VARIABLE.search(name) and len(value) >= _LEAST):
                anywhere |= _spellings(value)
        words |= {environment.get("PGUSER", "")}
        longest = sorted(anywhere - {""}, key=len, reverse=True)
        whole = sorted(words - {""}, key=len, reverse=True)
        patterns = [re.escape(value) for value in longest] + [rf"(?<!\w){re.escape(word)}(?!\w)" for word in whole]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def mask(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Mask what is raised in the block, and all that it was raised from: a traceback may go to a log file."""
        try:
            yield
        except TracerError as error:
            raise type(error)(self.mask(str(error))) from None
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            if self.mask(told) == told:
                raise
            hidden = RuntimeError(f"it was raised so, here without credentials:\n{self.mask(told)}")
            raise RuntimeError(self.mask(f"{type(error).__name__}: {error}")) from hidden


def _spellings(value: str) -> set[str]:
    return {value, unquote(value), quote(value, safe=""), quote(value)}


def _login(url: str) -> str:
    """`user:password`, or all that may be a part of it where a mark in the password is not escaped."""
    scheme, _, rest = url.partition("://")
    place = rest if scheme in _SERVERS else rest.partition("/")[0]
    return place.rpartition("@")[0]


def without_credentials(url: str) -> str:
    """The URL as it may be shown: no user, no password, no value of a parameter."""
    scheme, mark, rest = url.partition("://")
    login = _login(url)
    rest = rest[len(login) + 1 :] if login else rest
    place, asked, query = rest.partition("?")
    names = [part.partition("=")[0] for part in query.split("&") if part]
    return f"{scheme}{mark}{place}" + (f"?{'&'.join(f'{name}={MASK}' for name in names)}" if asked and names else "")
