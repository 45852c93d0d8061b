"""Every key of the service in Redis. What changes together has the same hash tag, and so one slot.

Keys and sorted sets contain the local id of a link: its id without ``pl_`` and the partition, which
is in the key. An organization's id may contain colons. It comes after the kind of the key, so that
no id can turn one key into another.
"""

from collections.abc import Iterable, Sequence

from service.values.email import remove_subaddress
from service.values.ids import partition_of

MAX_LOGGED_KEYS = 8
HEARTBEATS_TAG = "heartbeats"
"""The hash tag of all heartbeats."""
ALL_PARTITIONS = tuple(f"{number:02x}" for number in range(256))

OTP_SENDS = "pl:{00}:otp_sends"
"""counter: codes for all addresses together. Ends with its window."""
DATA_VERSION_KEY = "pl:data_version"
"""string: the version of the format of all other keys (``data_version.py``). Does not end."""
DATA_VERSION_COPIES = tuple(f"pl:data_version:{{{number:02x}}}" for number in range(0, 256, 16))
"""strings: the same in other slots, for processes that start while that of the first is away."""


def probe(tag: str = "probe") -> str:
    """A key of various types on which ``check`` tries commands, and which it deletes.

    ``tag`` is that of a partition, or of heartbeats, whose slot is meant: readiness deletes the key
    there, although there is none, to learn whether writes are taken.
    """
    return f"pl:{{{tag}}}:probe"


def partition_of_link(link_id: str) -> str:
    """The partition in the link's id."""
    return link_id[3:5]


def local_id(link_id: str) -> str:
    """The link's id within its partition."""
    return link_id[5:]


def full_id(partition: str, local_id: str) -> str:
    """The id of the link with this local id."""
    return f"pl_{partition}{local_id}"


def full_ids(partition: str, local_ids: Iterable[str]) -> list[str]:
    """The ids of several links."""
    prefix = full_id(partition, "")
    return [prefix + local for local in local_ids]


def heartbeats(process_type: str) -> str:
    """hash: last heartbeat of each process of the type, and the skew of its clock.

    Expires some time after the last heartbeat.
    """
    return f"pl:{{{HEARTBEATS_TAG}}}:{process_type}"


def link(link_id: str) -> str:
    """hash: the link (``links/redis_hash.py``). Expires at the end of its retention."""
    return link_key_prefix(partition_of_link(link_id)) + local_id(link_id)


def link_limit(link_id: str, limit: str) -> str:
    """counter: ``resend`` or ``resends_day`` of the link's mail. Expires with its window."""
    return f"{link(link_id)}:{limit}"


def link_key_prefix(partition: str) -> str:
    """The beginning of the keys of all links in the partition; the local id follows."""
    return f"pl:{{{partition}}}:link:"


def org(org_id: str) -> str:
    """zset: all links of the organization, scored by ``created_at``."""
    return f"pl:{{{partition_of(org_id)}}}:org:{org_id}"


def active(org_id: str) -> str:
    """zset: its links that were neither revoked nor paid, scored by ``expires_at``."""
    return f"pl:{{{partition_of(org_id)}}}:active:{org_id}"


def revoked(org_id: str) -> str:
    """zset: its revoked links, scored by ``revoked_at``."""
    return f"pl:{{{partition_of(org_id)}}}:revoked:{org_id}"


def paid(org_id: str) -> str:
    """zset: its paid links, scored by when the payment was recorded."""
    return f"pl:{{{partition_of(org_id)}}}:paid:{org_id}"


def transaction(org_id: str, transaction_id: str) -> str:
    """zset: its links for the transaction that were not revoked, scored by ``created_at``.

    No organization's id contains a slash.
    """
    return f"pl:{{{partition_of(org_id)}}}:transaction:{org_id}/{transaction_id}"


def events(org_id: str) -> str:
    """stream: what happened to its links (``event_log.py``)."""
    return f"pl:{{{partition_of(org_id)}}}:events:{org_id}"


def orgs(partition: str) -> str:
    """zset: the partition's organizations, scored by the end of their last link (in seconds)."""
    return f"pl:{{{partition}}}:orgs"


def profile(org_id: str) -> str:
    """string: the profile of the organization, in JSON. Does not expire."""
    return f"pl:{{{partition_of(org_id)}}}:profile:{org_id}"


def idempotency(org_id: str, digest: str) -> str:
    """hash: the fingerprint of a request with an idempotency key, and its link. 24 h.

    Of one that sends failed mails again: how many were queued. No organization has an empty id:
    that is for requests about all of them.
    """
    return f"pl:{{{partition_of(org_id)}}}:idempotency:{org_id}:{digest}"


def email(partition: str, address: str) -> str:
    """zset: links to the address that were neither revoked nor paid, scored by ``expires_at``."""
    return f"pl:{{{partition}}}:email:{address}"


def scheduled(partition: str) -> str:
    """zset: links whose scheduled mail is not claimed yet, scored by ``scheduled_at``."""
    return f"pl:{{{partition}}}:scheduled"


def outbox(partition: str) -> str:
    """zset: links whose mail is owed now, scored by the end of its lease or its next attempt."""
    return f"pl:{{{partition}}}:outbox"


def pending_since(partition: str) -> str:
    """zset: links whose mail was claimed and is still owed, scored by when it became due."""
    return f"pl:{{{partition}}}:pending_since"


def notices(partition: str) -> str:
    """zset: reminders, receipts and sample mails not claimed yet, scored by when they are due."""
    return f"pl:{{{partition}}}:notices"


def notice_outbox(partition: str) -> str:
    """zset: notices that were claimed, scored by the end of their lease or their next attempt."""
    return f"pl:{{{partition}}}:notice_outbox"


def sample(org_id: str) -> str:
    """hash: when the organization asked for a sample mail that is not out yet. 2 h."""
    return f"pl:{{{partition_of(org_id)}}}:sample:{org_id}"


def samples_day(org_id: str) -> str:
    """counter: sample mails that the organization asked for. Expires with its window."""
    return f"pl:{{{partition_of(org_id)}}}:samples_day:{org_id}"


def failed(partition: str) -> str:
    """zset: links whose mail failed for good, scored by the time of the failure."""
    return f"pl:{{{partition}}}:failed"


def otp_partition(address: str) -> str:
    """The partition of an address's code and counters: ``jane+shop@`` and ``jane@`` share it."""
    return partition_of(remove_subaddress(address))


def otp(address: str) -> str:
    """hash: the code of the address (``otps/store.py``). Expires with the code."""
    return f"pl:{{{otp_partition(address)}}}:otp:{address}"


def otp_limit(address: str, limit: str) -> str:
    """counter: ``resend``, ``sends_hour``, ``sends_day`` or ``failures_day`` of the mailbox.

    Expires with its window. A script uses ``decoy`` for a moment.
    """
    return f"{otp(remove_subaddress(address))}:{limit}"


def otp_failures(address: str, network: str) -> str:
    """counter: the part of ``failures_day`` that one client network caused."""
    return f"{otp_limit(address, 'failures_day')}:{network}"


def otp_verified_nonces(address: str) -> str:
    """zset: nonces of codes that the address verified, scored by the end of their 24 hours."""
    return f"{otp(address)}:verified"


def otp_unverified(address: str, org_id: str) -> str:
    """counter: codes that the organization named for the mailbox without a verification."""
    return f"{otp_limit(address, 'unverified')}:{org_id}"


def otp_outbox(partition: str) -> str:
    """zset: addresses whose code is not mailed yet, scored by lease end or next attempt."""
    return f"pl:{{{partition}}}:otp_outbox"


def client_limit_keys(networks: Sequence[str], limit: str) -> list[str]:
    """counters: ``otp_sends`` or ``otp_failures`` of a client and of the networks around it.

    They lie in the partition of the widest network.
    """
    partition = partition_of(networks[-1])
    return [f"pl:{{{partition}}}:client:{network}:{limit}" for network in networks]


def for_log(keys: Sequence[object]) -> list[str]:
    """The keys without personal data, link ids shortened, at most ``MAX_LOGGED_KEYS``."""
    return [_for_log(str(key)) for key in keys[:MAX_LOGGED_KEYS]]


def _for_log(key: str) -> str:
    if key.count(":") < 3:
        return key
    prefix, partition, kind, *rest = key.split(":", 3)
    if kind in {"org", "active", "revoked", "paid", "events", "profile", "sample", "samples_day"}:
        return key
    return ":".join([prefix, partition, kind, f"{rest[0][:6]}…" if kind == "link" else "…"])
