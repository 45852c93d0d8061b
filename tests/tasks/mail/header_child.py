"""For each line of JSON, writes a mail's header and prints how this Python parses it.

It imports ``tasks/mail/headers.py`` and the standard library only, so that any Python can run it.
"""

import email
import email.policy
import importlib.util
import json
import sys
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from typing import Any


def answer(headers: Any, text: str) -> dict[str, Any]:
    message = Message()
    message["From"] = headers.encode_mailbox("From", text, "pay@shop.example")
    message["To"] = headers.encode_mailbox("To", "", "jane@example.com")
    message["Subject"] = headers.encode_text("Subject", text)
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = "text/plain; charset=utf-8"
    message.set_payload("intact\n")
    wire = message.as_bytes(policy=headers.POLICY)
    parsed = email.message_from_bytes(wire, policy=email.policy.default)
    plain = email.message_from_bytes(wire)
    again = email.message_from_bytes(
        parsed.as_bytes(policy=email.policy.SMTP), policy=email.policy.default
    )
    return {
        "head": wire.decode("ascii").partition("\r\n\r\n")[0] + "\r\n",
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
