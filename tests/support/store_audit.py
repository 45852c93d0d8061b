"""The store's books, audited: every key it holds, against what a model says it owes its readers."""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import redis

from service.storage import keys
from service.storage.command import TTL_MARGIN
from service.values.ids import partition_of
from service.values.time import datetime_to_ms
from tests.support.factories import ids_of
from tests.support.reference_model import (
    CEILING,
    RESEND_LIMITS,
    Counted,
    ReferenceModel,
    networks_of,
)
from tests.support.reference_records import RETENTION, Link

EVERYTHING = """
local all = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'stream' then value = redis.call('XRANGE', key, '-', '+')
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else value = redis.call('GET', key) end
  all[i] = {key, redis.call('PEXPIRETIME', key), redis.call('PTTL', key), value}
end
return all
"""
SHORTEST_MS = 20_000
"""The least TTL that is set, so that no window ends between two steps."""
SLACK_MS = 10_000
"""What a step may take of the store's own time."""

INDEXES = {
    "org",
    "active",
    "revoked",
    "paid",
    "transaction",
    "email",
    "pending_since",
    "scheduled",
    "outbox",
    "otp_outbox",
    "orgs",
    "failed",
}

Found = dict[str, tuple[int, int, Any]]
"""Each key: when it ends, what is left until then, and its value."""
Logged = tuple[int, str, str]
"""An event: when, its type, and the local id of its link."""
Index = dict[str, int]
"""Members and their scores."""


class StoreAudit:
    """A store that ages with a model's clock.

    Keys with an absolute expiry are deleted once the model's clock reaches it. After each audit,
    keys with a relative one get the TTL that the model has.
    """

    def __init__(self, store: "redis.Redis", model: ReferenceModel) -> None:
        self._store = store
        self._model = model
        self._everything = store.register_script(EVERYTHING)

    def age(self) -> None:
        """Removes what would have ended by now."""
        now, held = datetime_to_ms(self._model.now), set(self._held())
        over = [
            key
            for key, ends_at, _, _ in self._read()
            if (key not in held if is_held(key) else ends_at <= now and ends_at != -1)
        ]
        if over:
            self._store.delete(*over)
        self._hold()

    def audit(self) -> list[str]:
        """Where the books and the model differ."""
        found = {key: (ends_at, left, value) for key, ends_at, left, value in self._read()}
        checks = (
            self._records_differences,
            self._verified_differences,
            self._requests_differences,
            self._indexes_differences,
            self._counter_differences,
            self._events_differences,
        )
        wrong = [difference for check in checks for difference in check(found)]
        wrong += [f"{key} is nobody's" for key in found if not self._is_anybodys(key)]
        self._hold()
        return wrong

    def _hold(self) -> None:
        for key, left in self._held().items():
            self._store.pexpire(key, max(left, SHORTEST_MS))

    def leftovers(self) -> list[str]:
        """Entries of links that are gone, in indexes that were listed and drained."""
        kinds = INDEXES - {"email", "transaction", "otp_outbox", "orgs", "failed"}
        return [
            f"{key} holds {member}"
            for key, _, _, value in self._read()
            if key.split(":")[2] in kinds
            for member in ids_of(key, value[::2])
            if member in self._model.gone
        ]

    def _read(self) -> list[Any]:
        found: list[Any] = self._everything()
        return [
            entry
            for entry in found
            if not entry[0].startswith((keys.heartbeats(""), keys.DATA_VERSION_KEY))
        ]

    def _is_anybodys(self, key: str) -> bool:
        kind = key.split(":")[2]
        if is_held(key):
            return key in self._held()
        return (
            kind in INDEXES | {"idempotency", "events"}
            or key in self._records()
            or key in self._verified()
        )

    def _records(self) -> dict[str, Link]:
        return {keys.link(link.id): link for link in self._model.links.values()}

    def _verified(self) -> dict[str, list[int]]:
        """When each e-mail's verified codes are forgotten."""
        kept = self._model.verified.items()
        return {
            keys.otp_verified_nonces(email): sorted(datetime_to_ms(until) for _, until in codes)
            for email, codes in kept
            if codes
        }

    def _records_differences(self, found: Found) -> Iterator[str]:
        for key, link in self._records().items():
            ends_at = found[key][0] if key in found else None
            if ends_at != datetime_to_ms(link.gone_at):
                yield f"{key} ends at {ends_at} instead of {datetime_to_ms(link.gone_at)}"

    def _verified_differences(self, found: Found) -> Iterator[str]:
        for key, until in self._verified().items():
            ends_at, _, value = found.get(key, (0, 0, []))
            kept = [
                score
                for score in sorted(_entries(value).values())
                if score > datetime_to_ms(self._model.now)
            ]
            if (ends_at, kept) != (max(until), until):
                yield f"{key} holds {kept} until {ends_at} instead of {until}"

    def _requests_differences(self, found: Found) -> Iterator[str]:
        """Of the digests in it nobody can say what they are of."""
        requests = self._model.requests.items()
        expected = [
            (
                keys.idempotency(org_id, ""),
                keys.local_id(request.link_id),
                datetime_to_ms(request.until),
            )
            for (org_id, _), request in requests
        ]
        kept = [
            (
                f"{key.rpartition(':')[0]}:",
                dict(zip(value[::2], value[1::2], strict=True))["id"],
                ends_at,
            )
            for key, (ends_at, _, value) in found.items()
            if key.split(":")[2] == "idempotency"
        ]
        if sorted(kept) != sorted(expected):
            yield f"of requests that may be repeated {kept} are kept instead of {expected}"

    def _indexes_differences(self, found: Found) -> Iterator[str]:
        expected = self._expected_indexes()
        yield from (f"{key} is missing" for key in expected.keys() - found.keys())
        for key, (ends_at, _, value) in found.items():
            if key.split(":")[2] in INDEXES:
                known = {
                    member: score
                    for member, score in _entries(value).items()
                    if self._is_live_entry(key, member, score)
                }
                if known != expected.get(key, {}):
                    yield f"{key} holds {known} instead of {expected.get(key, {})}"
                elif known and not self._least_end(key, known) <= ends_at <= self._most_end(key):
                    yield f"{key} ends at {ends_at}, too early or too late for its members"

    def _counter_differences(self, found: Found) -> Iterator[str]:
        counts = {_key_of(name): str(window.count) for name, window in self._model.windows.items()}
        for key, left in self._held().items():
            _, ttl, value = found.get(key, (None, 0, None))
            if key in counts and value != counts[key]:
                yield f"{key} counts {value} instead of {counts[key]}"
            if not left - SLACK_MS <= ttl <= max(left, SHORTEST_MS):
                yield f"{key} ends in {ttl} ms instead of {left}"

    def _events_differences(self, found: Found) -> Iterator[str]:
        """Of each organization: all that are kept were logged once, and what is recent is kept."""
        logged: dict[str, Counter[Logged]] = {}
        for at, kind, org_id, link_id in self._model.events:
            entry = (datetime_to_ms(at), kind, keys.local_id(link_id))
            logged.setdefault(keys.events(org_id), Counter())[entry] += 1
        kept = {
            key: Counter(_read_event(entry) for entry in value)
            for key, (_, _, value) in found.items()
            if key.split(":")[2] == "events"
        }
        kept_from = datetime_to_ms(self._model.now - RETENTION)
        for key in logged.keys() | kept.keys():
            there, ever = kept.get(key, Counter()), logged.get(key, Counter())
            recent = Counter({entry: n for entry, n in ever.items() if entry[0] > kept_from})
            if wrong := (there - ever) + (recent - there):
                yield f"{key} and the model differ in {wrong}"

    def _held(self) -> dict[str, int]:
        """Keys that end after a while, with the milliseconds that are left."""
        ends = {_key_of(name): window.ends_at for name, window in self._model.windows.items()}
        ends |= {keys.otp(email): code.expires_at for email, code in self._model.codes.items()}
        return {
            key: (moment - self._model.now) // timedelta(milliseconds=1)
            for key, moment in ends.items()
        }

    def _expected_indexes(self) -> dict[str, Index]:
        """What is in which index."""
        indexes: dict[str, Index] = {}

        def put(key: str, member: str, moment: datetime) -> None:
            indexes.setdefault(key, {})[member] = datetime_to_ms(moment)

        for link in filter(self._model.is_listed, self._model.links.values()):
            partition = keys.partition_of_link(link.id)
            for key, moment in _indexed_by_status(link):
                put(key, keys.local_id(link.id), moment)
            if link.look_at is not None:
                if link.claimed_since is not None:
                    put(keys.pending_since(partition), keys.local_id(link.id), link.claimed_since)
                put(
                    (keys.outbox if link.queue == "outbox" else keys.scheduled)(partition),
                    keys.local_id(link.id),
                    link.look_at,
                )
        for key, member, moment in self._kept():
            put(key, member, moment)
        for email, code in self._model.codes.items():
            if code.mail_at is not None:
                put(keys.otp_outbox(partition_of(email)), email, code.mail_at)
        return indexes

    def _kept(self) -> Iterator[tuple[str, str, datetime]]:
        """The failures and organizations that are still listed: index, member and score."""
        for link in filter(self._model.is_listed, self._model.links.values()):
            if (
                link.state == "failed"
                and link.failed_at is not None
                and self._is_kept(datetime_to_ms(link.failed_at))
            ):
                yield (
                    keys.failed(keys.partition_of_link(link.id)),
                    keys.local_id(link.id),
                    link.failed_at,
                )
        for org_id, ends_at in self._model.org_ends.items():
            to_second = ends_at + timedelta(microseconds=-ends_at.microsecond % 1_000_000)
            if self._is_kept(datetime_to_ms(to_second)):
                yield keys.orgs(partition_of(org_id)), org_id, to_second

    def _is_kept(self, score: int) -> bool:
        """Whether what ended, or failed, at ``score`` is still told of."""
        return score > datetime_to_ms(self._model.now - RETENTION)

    def _is_live_entry(self, key: str, member: str, score: int) -> bool:
        if key.endswith((":orgs", ":failed")) and not self._is_kept(score):
            return False
        if key.endswith(":orgs"):
            return True
        if key.endswith(":otp_outbox"):
            return member in self._model.codes
        [link_id] = ids_of(key, [member])
        link = self._model.links.get(link_id)
        return link_id not in self._model.gone and (link is None or self._model.is_listed(link))

    def _least_end(self, key: str, members: Index) -> int:
        if key.endswith(":otp_outbox"):
            return max(datetime_to_ms(self._model.codes[email].expires_at) for email in members)
        if key.endswith((":orgs", ":failed")):
            return max(members.values()) + RETENTION // timedelta(milliseconds=1)
        return max(
            datetime_to_ms(self._model.links[link_id].gone_at) for link_id in ids_of(key, members)
        )

    def _most_end(self, key: str) -> float:
        """The outbox' expiry follows another key's TTL on the store's clock, which nobody turns."""
        if key.endswith(("outbox", ":orgs", ":failed")) or self._model.longest is None:
            return math.inf
        return datetime_to_ms(self._model.longest + TTL_MARGIN)


def _indexed_by_status(link: Link) -> Iterator[tuple[str, datetime]]:
    """The indexes of its organization, recipient and transaction that contain a link."""
    yield keys.org(link.org_id), link.created_at
    if link.settling is not None:
        yield keys.paid(link.org_id), link.ended_at
    elif link.revoked_at is not None:
        yield keys.revoked(link.org_id), link.ended_at
    else:
        yield keys.active(link.org_id), link.ended_at
        yield keys.email(keys.partition_of_link(link.id), link.recipient), link.ended_at
    if link.transaction_id and (link.settling or link.revoked_at is None):
        yield keys.transaction(link.org_id, link.transaction_id), link.created_at


def is_held(key: str) -> bool:
    kind, is_counter_of_link = key.split(":")[2], key.count(":") > 3
    if kind == "link":
        return is_counter_of_link
    return kind in {"otp", "otp_sends", "client"} and not key.endswith(":verified")


def _key_of(name: Counted) -> str:
    limit, whose = name
    if name == CEILING:
        return keys.OTP_SENDS
    if limit in {"otp_sends", "otp_failures"}:
        return keys.client_limit_keys([whose] if "/" in whose else [*networks_of(whose)], limit)[0]
    if limit in RESEND_LIMITS:
        return keys.link_limit(whose, limit.removeprefix("mail_"))
    email, _, rest = whose.partition(":")
    if limit == "unverified":
        return keys.otp_unverified(email, rest)
    return keys.otp_failures(email, rest) if rest else keys.otp_limit(email, limit)


def _read_event(entry: Any) -> Logged:
    entry_id, values = entry
    fields = dict(zip(values[::2], values[1::2], strict=True))
    return int(entry_id.partition("-")[0]), fields["type"], fields["link"]


def _entries(value: list[str]) -> Index:
    return {
        member: int(float(score)) for member, score in zip(value[::2], value[1::2], strict=True)
    }
