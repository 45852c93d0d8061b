"""For each line of JSON, writes a mail's header and prints how this Python parses it.

It imports ``tasks/mail/headers.py`` and the standard library only, so that any Python can run it.
"""

import email
import email.policy
import importlib.util
import json
import sys
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any

FIELDS = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nintact\r\n"


def answer(headers: Any, text: str) -> dict[str, Any]:
    head = (
        headers.address_field("From", "pay@shop.example", text)
        + headers.address_field("To", "jane@example.com")
        + headers.text_field("Subject", text)
    )
    wire = head.encode() + FIELDS
    parsed = email.message_from_bytes(wire, policy=email.policy.default)
    plain = email.message_from_bytes(wire)
    again = email.message_from_bytes(
        parsed.as_bytes(policy=email.policy.SMTP), policy=email.policy.default
    )
    return {
        "head": head,
        "names": [list(parsed.keys()), list(plain.keys()), list(again.keys())],
        "from": [address.addr_spec for address in parsed["From"].addresses],
        "to": [address.addr_spec for address in parsed["To"].addresses],
        "sender_name": decoded(parseaddr(plain["From"])[0]),
        "subject": decoded(plain["Subject"]),
        "bodies": [message.get_payload() for message in (parsed, plain, again)],
    }


def decoded(value: str) -> str:
    """According to RFC 2047; newer APIs keep spaces between words (cpython gh-144156)."""
    return str(make_header(decode_header(value)))


def main(path: str) -> None:
    spec = importlib.util.spec_from_file_location("headers", path)
    assert spec is not None
    assert spec.loader is not None
    headers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(headers)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(headers, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
