"""Tokens, keys and passwords do not get into logs, messages or run folders."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.credentials import Hiding, hide_in, without_credentials
from headstart.events import Events, to_jsonl

SECRETS = {
    "a token of the hub": ("403 for hf_abcdefghijklmnopqrstuvwxyz012345", "hf_abc"),
    "a header": ("sent {'authorization': 'Bearer abc.def-ghi'}", "abc.def"),
    "a header in another case": ("Authorization: Basic dXNlcjpwYXNz", "dXNlcj"),
    "a header without a scheme": ("AUTHORIZATION=0123456789", "01234"),
    "user and password of a URL": ("cannot get https://ann:s3cret@host.org/x", "s3cret"),
    "a token of a URL": ("git clone https://s3cret@host.org/x failed", "s3cret"),
    "a password of a data base": ("postgresql://ann:s3cret@db/x", "s3cret"),
    "a key in a query": ("GET https://host.org/x?size=2&api_key=s3cretkey&b=1", "s3cret"),
    "a signature in a query": ("https://b.s3.org/x?X-Amz-Signature=0a1b2c3d4e&X-Amz-Credential=AK%2F", "0a1b2c"),
    "a short key in a query": ("https://host.org/x?key=abc", "abc"),
    "a variable": ("HF_TOKEN=s3cretvalue headstart run", "s3cret"),
    "an option": ("--set data.password=s3cret", "s3cret"),
    "JSON": ('{"client_secret": "s3cretvalue"}', "s3cret"),
    "a key of a cloud": ("denied for AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    "a web token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "eyJzdWIi"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
}
PLAIN = (
    "weights: cannot get 'someone/tiny@0123456789abcdef0123456789abcdef01234567' from the hub",
    "max_tokens: 256, pad_token: '<pad>', sep_token=[SEP], tokens=128000",
    "sha256 b0353104aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "https://host.org/datasets/stanfordnlp/imdb/commits/main?page=2",
    "mail ann@host.org; user@v1.0",
    "key: weights, keys: 3, monkey=banana",
    "the store's key.json names another backbone",
)


@pytest.mark.parametrize("name", SECRETS)
def test_each_form_of_a_secret_is_hidden(name: str) -> None:
    text, secret = SECRETS[name]
    assert secret in text
    found = without_credentials(text)
    assert secret not in found
    assert "[hidden]" in found
    assert without_credentials(found) == found, "what was hidden once is left as it is"


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert without_credentials(text) == text


def test_values_of_secret_variables_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "purple-elephants")
    monkeypatch.setenv("SOME_PASSWORD", "abc")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    assert without_credentials("said purple-elephants twice") == "said [hidden] twice"
    assert without_credentials(f"abc {tmp_path}") == f"abc {tmp_path}", "a short value is a word, and a place no secret"


def test_events_and_what_is_within_them_are_filtered_for_every_tracker(tmp_path: Path) -> None:
    heard = []
    tell = Events([to_jsonl(tmp_path / "events.jsonl"), heard.append])
    tell("warning", message="https://ann:s3cret@host", facts={"urls": ["x?token=s3cret"]}, count=3)
    assert "s3cret" not in (tmp_path / "events.jsonl").read_text()
    assert "s3cret" not in json.dumps(heard)
    assert heard[0]["count"] == 3
    assert hide_in((1, None, True, 0.5)) == [1, None, True, 0.5]


def test_records_of_any_logger_and_their_tracebacks_are_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    handler, logger = logging.StreamHandler(sys.stderr), logging.getLogger("some.library")
    handler.addFilter(Hiding())
    logger.addHandler(handler)
    try:
        raise ValueError("https://ann:s3cret@host")
    except ValueError:
        logger.exception("GET %s", "https://host?key=s3cret")
    finally:
        logger.removeHandler(handler)
    said = capsys.readouterr().err
    assert "ValueError: https://[hidden]@host" in said
    assert "s3cret" not in said


BROKEN = """
import click, logging
from headstart.hookspecs import hookimpl

@click.command("inquire")
@click.option("--kind")
def inquire(kind):
    logging.getLogger("lib").warning("trying https://ann:s3cret@host")
    from headstart.errors import DataError
    raise {"known": DataError, "unknown": ValueError}[kind]("no answer of https://host/x?api_key=s3cret")

@hookimpl
def headstart_commands():
    yield inquire
"""


@pytest.mark.parametrize("kind", ["known", "unknown"])
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_messages_and_tracebacks_of_the_command_are_filtered(tmp_path: Path, kind: str, debug: tuple[str, ...]) -> None:
    (tmp_path / "inquiring.py").write_text(BROKEN)
    command = [sys.executable, "-m", "headstart", "--plugin", str(tmp_path / "inquiring.py"), *debug, "inquire", "--kind", kind]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (1, 3)
    assert "no answer of https://host/x?api_key=[hidden]" in done.stderr
    assert ("Traceback" in done.stderr) == bool(debug)
    assert "s3cret" not in done.stderr
