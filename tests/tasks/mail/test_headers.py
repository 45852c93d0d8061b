"""No text in a header adds a header, a recipient or a body, as any installed Python reads it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tasks.mail.headers
from tasks.mail.headers import MAX_LINE_LENGTH, encode_mailbox, encode_text, is_address

CHILD = Path(__file__).parent / "header_child.py"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
INJECTIONS = {
    "body": "=?utf-8?q?x=0D=0ABcc=3A_evil=40e.com=0D=0A=0D=0AHello?=",
    "Bcc": "=?utf-8?q?=20=0aBcc=3a_e=40x.co@" + "x" * 50 + ".com",
    "base64": "=?utf-8?b?eA0KQmNjOiBldmlsQGUuY29tDQoNCkhlbGxv?=",
    "CRLF": "x\r\nBcc: evil@e.com\r\n\r\nHello",
    "LF": "x\nBcc: evil@e.com\n\nHello",
    "CR": "x\rBcc: evil@e.com\r\rHello",
    "NUL": "x\0\0Bcc: evil@e.com",
    "next line": "x\x85Bcc: evil@e.com",
    "line separator": "x\u2028Bcc: evil@e.com",
    "two addresses": "x <evil@e.com>, y <evil@e.com>",
    "quotes": 'x" <evil@e.com>, "',
    "backslash": 'x\\" <evil@e.com>, \\',
    "comment": "x (evil <evil@e.com>",
    "group": "x: evil@e.com;",
    "long": "x " * 60 + "<evil@e.com>",
    "cut word": "=?utf-8?q?x",
    "surrogate": "x\ud800Bcc: evil@e.com",
}
NAMES = {
    "spaces": "A  B",
    "Sinhala": "ශ්‍රී ලංකා",
    "Persian": "می‌خواهم",
    "emoji": "👩‍🍳 " * 20 + "x",
    "no-break space": "n°\u00a012",
    "wide space": "田中\u3000太郎",
    "comma": "Shop, Inc.",
    "dot": "Shop Inc.",
    "apostrophe": "O'Brien & Söhne",
    "long": "o" * 64,
}
HOSTILE = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from([*'\r\n\0\\"<>@,:;()=? \t', "=?utf-8?q?", "=0D=0A", "?=", "Bcc: e@x.co"]),
    )
).map("".join)


class Child:
    """A Python that writes headers and parses them."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-I", CHILD, tasks.mail.headers.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, text: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(text) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Iterator[Child]:
    executable = find(request.param)
    if executable is None:
        pytest.skip(f"there is no Python {request.param} here")
    child = Child(executable)
    yield child
    child.process.communicate()


def find(version: str) -> str | None:
    """A Python of that version, from pyenv or from the PATH (there, pyenv's shims may not work)."""
    of_pyenv = [
        str(path)
        for path in (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}")
    ]
    for python in [*sorted(of_pyenv), shutil.which(f"python{version}")]:
        if (
            python
            and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return python
    return None


def one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip(" ")


def assert_harmless(read: dict[str, Any], text: str) -> None:
    assert read["names"] == [["From", "To", "Subject", "MIME-Version", "Content-Type"]] * 3
    assert read["from"] == ["pay@shop.example"]
    assert read["to"] == ["jane@example.com"]
    assert [body.rstrip("\r\n") for body in read["bodies"]] == ["intact"] * 3
    assert read["subject"].rstrip(" ") == one_line(text)
    assert re.fullmatch(r"([^\r\n\0]+\r\n)*", read["head"])


@pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS)
def test_an_attack_is_read_as_the_words_that_it_is(python: Child, text: str) -> None:
    assert_harmless(python.ask(text), text)


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_a_name_is_read_as_it_was_written(python: Child, text: str) -> None:
    read = python.ask(text)
    assert_harmless(read, text)
    assert (read["sender_name"], read["subject"]) == (text, text)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=HOSTILE)
def test_whatever_goes_in_the_mail_has_our_headers_only(python: Child, text: str) -> None:
    assert_harmless(python.ask(text), text)


@pytest.mark.parametrize("text", [*INJECTIONS.values(), *NAMES.values()], ids=[*INJECTIONS, *NAMES])
def test_lines_are_ascii_and_no_longer_than_76(text: str) -> None:
    """RFC 2047, 2; an encoded word has 75 characters at most."""
    subject = f"Subject: {encode_text('Subject', text)}"
    sender = f"From: {encode_mailbox('From', text, 'pay@shop.example')}"
    for line in [*subject.split("\n"), *sender.split("\n")]:
        assert line.isascii()
        assert len(line) <= MAX_LINE_LENGTH
        assert all(len(word) <= 75 for word in line.split() if word.startswith("=?"))


@pytest.mark.parametrize(
    "address",
    [
        "jane",
        "",
        "a@b.example, c@d.example",
        "jane@example.com\r\nBcc: a@b.example",
        "jane@example.com\0",
        "j é@x.example",
        "Jane <jane@example.com>",
        "jane@example.com>",
        "jane@example..com",
        INJECTIONS["Bcc"],
    ],
)
def test_what_is_not_one_plain_address_is_none(address: str) -> None:
    assert not is_address(address)
    with pytest.raises(ValueError, match="To is not one address"):
        encode_mailbox("To", "", address)
