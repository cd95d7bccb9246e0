"""No credential is shown, whatever a driver says."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgres_server import PASSWORD, Server
from pull_support import VARIABLE, pulled, source
from tracer_cli.errors import ConfigError, DataError, TracerError
from tracer_cli.traces.pull.pull import pull
from tracer_cli.traces.pull.secrets import MASK, Secrets, without_credentials

URL = "postgresql://ann:hunt%2F22@db.example.com/support?password=pw%20two&sslmode=require"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"cannot open {URL}",
            f"cannot open postgresql://{MASK}:{MASK}@db.example.com/support?password={MASK}&sslmode=require",
        ),
        ('password authentication failed for user "ann"', f'password authentication failed for user "{MASK}"'),
        ('invalid token: "hunt/22"', f'invalid token: "{MASK}"'),
        ("pw two, pw%20two, xhunt%2F22x", f"{MASK}, {MASK}, x{MASK}x"),
        ("the plan of annabel requires tls", "the plan of annabel requires tls"),
    ],
)
def test_secrets_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    assert Secrets(URL, {}).mask(text) == shown


def test_a_mark_in_a_password_does_not_let_a_piece_of_it_out() -> None:
    url = "postgresql://ann:hunter@2?secret/tail@host/db"
    for piece in ("hunter@2?secret/tail", '"2?secret/tail@host"', "port 'secret'", "tail@host"):
        shown = Secrets(url, {}).mask(piece)
        assert "hunter" not in shown and "secret" not in shown and "tail" not in shown


def test_the_environment_is_masked_too() -> None:
    environment = {
        "PGPASSWORD": "x9",
        "AWS_SECRET_ACCESS_KEY": "abc/def",
        "PGUSER": "bob",
        "MY_TOKEN": "1",
        "HOME": "/root",
    }
    shown = Secrets("s3://bucket/a@b/*.jsonl", environment).mask("x9 abc/def abc%2Fdef bob bobby 1 /root bucket/a@b")
    assert shown == f"{MASK} {MASK} {MASK} {MASK} bobby 1 /root bucket/a@b"


@given(st.text(min_size=1, max_size=20), st.text(max_size=30), st.text(max_size=30))
def test_any_password_in_any_text(password: str, before: str, after: str) -> None:
    shown = Secrets(f"postgresql://u:{quote(password, safe='')}@h/d", {}).mask(f"{before}{password}{after}")
    assert password not in shown.replace(MASK, "\0") or password == "\0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db.example.com:5432/support", "postgresql://db.example.com:5432/support"),
        (URL, f"postgresql://db.example.com/support?password={MASK}&sslmode={MASK}"),
        ("postgresql://ann:p/w@d@h/db", "postgresql://h/db"),
        ("s3://bucket/a@b/*.jsonl", "s3://bucket/a@b/*.jsonl"),
        ("ftp://ann:pw@host/*.csv", "ftp://host/*.csv"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
    ],
)
def test_a_url_is_shown_without_them(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_what_is_raised_holds_none_not_even_in_what_it_was_raised_from() -> None:
    secrets = Secrets(URL, {})
    for kind in (DataError, ConfigError, KeyError, RuntimeError):
        with pytest.raises(Exception) as error, secrets.kept():
            try:
                raise ValueError("hunt/22")
            except ValueError as cause:
                raise kind("for ann") from cause
        assert "hunt" not in "".join(traceback.format_exception(error.value))
        assert isinstance(error.value, kind if issubclass(kind, TracerError) else RuntimeError)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(KeyError, match="fine") as error, Secrets(URL, {}).kept():
        raise KeyError("fine")
    assert error.value.__suppress_context__ is False


# --- against the real thing -----------------------------------------------------------------------

SECRET = "s3cr@t/with?every#mark"

URLS = [
    "postgresql://ann.owner:{wrong}@127.0.0.1:{port}/support",
    "postgresql://{wrong}:{wrong}@127.0.0.1:{port}/support",
    "postgresql://ann.owner@127.0.0.1:{port}/support?password={wrong}",
    "postgresql://ann.owner:{right}@127.0.0.1:{port}/nope",
    "postgresql://ann.owner:{right}@127.0.0.1:{port}/support?sslmode=require",
    "postgresql://ann.owner:{right}@127.0.0.1:{port}/support?sslmood=x",
    "postgresql://ann.owner:{raw}@127.0.0.1:{port}/support",
    "postgresql://ann.owner:s3cr%zzt@127.0.0.1:{port}/support",
    "postgresql://ann.owner:s3cret@127.0.0.1:1/support",
    "postgresql://ann.owner:s3cret@s3cret.invalid/support",
    "postgresql:ann.owner:s3cret@127.0.0.1/support",
    "host=127.0.0.1 user=ann.owner password=s3cret",
    "sqlite:///s3cret?password=s3cret",
    "mysql://ann.owner:s3cret@127.0.0.1/support",
    "ftp://ann.owner:s3cret@127.0.0.1:1/*.jsonl",
    "nofs+s3cret://ann.owner:s3cret@host/*.jsonl",
]


@pytest.mark.parametrize("url", URLS)
def test_no_error_shows_a_credential(postgres: Server, tmp_path: Path, url: str) -> None:
    postgres.database()
    full = url.format(wrong=quote(SECRET, safe=""), raw=SECRET, right=quote(PASSWORD, safe=""), port=postgres.port)
    query = "select 1 as a" if full.startswith(("postgresql", "sqlite", "host")) else None
    with pytest.raises(TracerError) as error:
        pull(
            source(tmp_path, "d/*.jsonl" if query is None else "d/*.parquet", source_env=VARIABLE, query=query),
            {VARIABLE: full},
        )
    told = "".join(traceback.format_exception(error.value))
    messages = [line for line in told.splitlines() if not line.startswith("  ")]  # without the code itself
    for secret in ("s3cr", "ann.owner", PASSWORD, quote(PASSWORD, safe=""), "mark", "w0rd"):
        assert secret not in "\n".join(messages)
    assert str(error.value).startswith("traces[0].pull")


def test_no_credential_is_written_to_a_part(postgres: Server, tmp_path: Path) -> None:
    database = postgres.database()
    pulled(tmp_path, database.url(), "select 1 as a")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert PASSWORD.encode() not in content and b"ann.owner" not in content and b"127.0.0.1" not in content
