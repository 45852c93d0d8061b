"""Links, one-time passwords and the mails they owe, in Redis.

``links``, ``otps`` and ``outbox`` say what is asked of Redis, as ``Call`` values that do no I/O. A ``Client`` (for workers)
or a ``Lane`` (for the web) carries them out.
"""
