"""Every key of the service in Redis. What changes together has the same hash tag, and so one slot.

Keys and sorted sets contain the local id of a link: its id without ``pl_`` and the partition, which
is in the key. An organization's id may contain colons. It comes after the kind of the key, so that
no id can turn one key into another.
"""

from collections.abc import Iterable, Sequence

from service.values.email import remove_subaddress
from service.values.ids import partition_of

MAX_LOGGED_KEYS = 8
PROBE = "pl:{probe}:probe"
"""``check`` tries commands on it, and deletes it."""
ALL_PARTITIONS = tuple(f"{number:02x}" for number in range(256))

OTP_SENDS = "pl:{00}:otp_sends"
"""counter: codes for all addresses together. Ends with its window."""
DATA_VERSION_KEY = "pl:data_version"
"""string: the version of the format of all other keys (``data_version.py``). Does not end."""


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
    return f"pl:{{heartbeats}}:{process_type}"


def link(link_id: str) -> str:
    """hash: the link (``links/redis_hash.py``). Expires at the end of its retention."""
    return link_key_prefix(partition_of_link(link_id)) + local_id(link_id)


def link_key_prefix(partition: str) -> str:
    """The beginning of the keys of all links in the partition; the local id follows."""
    return f"pl:{{{partition}}}:link:"


def org(org_id: str) -> str:
    """zset: all links of the organization, scored by ``created_at``."""
    return f"pl:{{{partition_of(org_id)}}}:org:{org_id}"


def active(org_id: str) -> str:
    """zset: its links that were not revoked, scored by ``expires_at``."""
    return f"pl:{{{partition_of(org_id)}}}:active:{org_id}"


def revoked(org_id: str) -> str:
    """zset: its revoked links, scored by ``revoked_at``."""
    return f"pl:{{{partition_of(org_id)}}}:revoked:{org_id}"


def orgs(partition: str) -> str:
    """zset: the partition's organizations, scored by the end of their last link (in seconds)."""
    return f"pl:{{{partition}}}:orgs"


def profile(org_id: str) -> str:
    """string: the profile of the organization, in JSON. Does not expire."""
    return f"pl:{{{partition_of(org_id)}}}:profile:{org_id}"


def idempotency(org_id: str, digest: str) -> str:
    """hash: what a request with an idempotency key created, and its fingerprint. 24 h."""
    return f"pl:{{{partition_of(org_id)}}}:idempotency:{org_id}:{digest}"


def email(partition: str, address: str) -> str:
    """zset: links to the address that were not revoked, scored by ``expires_at``."""
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
    if kind in {"org", "active", "revoked", "profile"}:
        return key
    return ":".join([prefix, partition, kind, f"{rest[0][:6]}…" if kind == "link" else "…"])
