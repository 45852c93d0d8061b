"""Message authentication codes."""

import hmac


def mac(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC (RFC 2104) of ``message``, by the hash function ``algorithm``.

    ``hmac.digest`` says the same, but gives Python's lock to the server's threads, however short the message, and waits to have it
    back.
    """
    return hmac.new(key, message, algorithm).digest()
