"""Every key the service has in Redis. What changes together carries the same hash tag, and so lies in one slot.

Keys and sorted sets know a link by its local id: without ``pl_`` and the partition, which is in the key.

The kind of a key comes before an organization's id, which may hold colons: no id makes one key look like another's.
"""

from collections.abc import Iterable, Sequence

from service.values.email import remove_subaddress
from service.values.ids import partition_of

MAX_LOGGED_KEYS = 8
PROBE = "pl:{probe}:probe"
"""What ``check`` tries commands on; there for a moment."""
ALL_PARTITIONS = tuple(f"{number:02x}" for number in range(256))

OTP_SENDS = "pl:{00}:otp_sends"
"""counter: codes for all e-mails together. Ends with its window."""
DATA_VERSION_KEY = "pl:data_version"
"""string: the version of the format of all other keys (``data_version.py``). Does not end."""


def partition_of_link(link_id: str) -> str:
    """The partition that the link's id names."""
    return link_id[3:5]


def local_id(link_id: str) -> str:
    """The link's id within its partition."""
    return link_id[5:]


def full_id(partition: str, local_id: str) -> str:
    """The id of the link that ``partition`` knows by this."""
    return f"pl_{partition}{local_id}"


def full_ids(partition: str, local_ids: Iterable[str]) -> list[str]:
    """The same of several."""
    prefix = full_id(partition, "")
    return [prefix + local for local in local_ids]


def heartbeats(kind: str) -> str:
    """hash: when each process of the kind was last alive, and the skew of its clock. Ends when none has been for long."""
    return f"pl:{{heartbeats}}:{kind}"


def link(link_id: str) -> str:
    """hash: the link (``record.py``). Ends with its retention."""
    return link_key_prefix(partition_of_link(link_id)) + local_id(link_id)


def link_key_prefix(partition: str) -> str:
    """What the keys of the partition's links begin with; their local ids follow."""
    return f"pl:{{{partition}}}:link:"


def org(org_id: str) -> str:
    """zset: all links of the organization, by ``created_at``."""
    return f"pl:{{{partition_of(org_id)}}}:org:{org_id}"


def active(org_id: str) -> str:
    """zset: its links that were not revoked, by ``expires_at``."""
    return f"pl:{{{partition_of(org_id)}}}:active:{org_id}"


def revoked(org_id: str) -> str:
    """zset: its revoked links, by ``revoked_at``."""
    return f"pl:{{{partition_of(org_id)}}}:revoked:{org_id}"


def orgs(partition: str) -> str:
    """zset: the partition's organizations that have links, by when the last of those ends, to the second after it."""
    return f"pl:{{{partition}}}:orgs"


def profile(org_id: str) -> str:
    """string: how the organization presents itself (``profiles.py``). Does not end."""
    return f"pl:{{{partition_of(org_id)}}}:profile:{org_id}"


def idempotency(org_id: str, digest: str) -> str:
    """hash: what a request with an idempotency key created, and its fingerprint. Ends 24 h later."""
    return f"pl:{{{partition_of(org_id)}}}:idempotency:{org_id}:{digest}"


def email(partition: str, address: str) -> str:
    """zset: the recipient's links that were not revoked, by ``expires_at``."""
    return f"pl:{{{partition}}}:email:{address}"


def scheduled(partition: str) -> str:
    """zset: links whose e-mail nobody has claimed yet, by ``scheduled_at``."""
    return f"pl:{{{partition}}}:scheduled"


def outbox(partition: str) -> str:
    """zset: links whose e-mail is owed now, by the moment at which it must be looked at again."""
    return f"pl:{{{partition}}}:outbox"


def pending_since(partition: str) -> str:
    """zset: links whose e-mail was claimed and is still owed, by the moment since when: the outbox forgets that."""
    return f"pl:{{{partition}}}:pending_since"


def failed(partition: str) -> str:
    """zset: links whose e-mail was given up, by when."""
    return f"pl:{{{partition}}}:failed"


def otp_partition(address: str) -> str:
    """Where an e-mail's code lies: that of ``jane+shop@`` in one slot with the counters, which it shares with ``jane@``."""
    return partition_of(remove_subaddress(address))


def otp(address: str) -> str:
    """hash: ``nonce``, ``expires``, ``tries``, ``attempts``, ``org`` and ``locale`` of the e-mail's code. Ends with it."""
    return f"pl:{{{otp_partition(address)}}}:otp:{address}"


def otp_limit(address: str, limit: str) -> str:
    """counter: ``resend``, ``sends_hour``, ``sends_day`` or ``failures_day`` of the mailbox. Ends with its window.

    ``decoy`` is gone again within the script that counts in it.
    """
    return f"{otp(remove_subaddress(address))}:{limit}"


def otp_failures(address: str, network: str) -> str:
    """counter: those of the mailbox's ``failures_day`` that one client network had. Ends with its window."""
    return f"{otp_limit(address, 'failures_day')}:{network}"


def otp_verified(address: str) -> str:
    """zset: nonces of the codes this e-mail has verified, by the moment they are forgotten."""
    return f"{otp(address)}:verified"


def otp_unverified(address: str, org_id: str) -> str:
    """counter: codes that an organization named as verified for the mailbox, and that were not. Ends with its window."""
    return f"{otp_limit(address, 'unverified')}:{org_id}"


def otp_outbox(partition: str) -> str:
    """zset: e-mails whose code is not mailed yet, by the moment at which it must be looked at again."""
    return f"pl:{{{partition}}}:otp_outbox"


def client_limit_keys(networks: Sequence[str], limit: str) -> list[str]:
    """counters: ``otp_sends`` or ``otp_failures`` of a client and of the networks around it, in the widest one's partition."""
    partition = partition_of(networks[-1])
    return [f"pl:{{{partition}}}:client:{network}:{limit}" for network in networks]


def for_log(keys: Sequence[object]) -> list[str]:
    """The keys as a log may name them: no whole id of a link, no e-mail, and not too many."""
    return [_for_log(str(key)) for key in keys[:MAX_LOGGED_KEYS]]


def _for_log(key: str) -> str:
    if key.count(":") < 3:
        return key
    prefix, partition, kind, *rest = key.split(":", 3)
    if kind in {"org", "active", "revoked", "profile"}:
        return key
    return ":".join([prefix, partition, kind, f"{rest[0][:6]}…" if kind == "link" else "…"])
