"""Replies of mail servers (RFC 5321, RFC 3463)."""

import re


def reply_code(reason: str) -> str:
    """The codes of a server's reply, or the name of an error.

    The words of a reply often contain the recipient.
    """
    codes = re.match(r"[0-9]{3}([ -][0-9]\.[0-9]{1,3}\.[0-9]{1,3})?", reason)
    return codes[0] if codes else reason.partition(":")[0][:80]
