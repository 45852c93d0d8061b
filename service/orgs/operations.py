"""What the product does with organizations."""

from functools import partial

from service.context import Context
from service.orgs import store
from service.storage.partitions import PartitionReplies, query_partitions


async def find_orgs(context: Context, prefix: str) -> tuple[list[str], list[str]]:
    """The ids that begin with ``prefix``, in any case and in order, and unreadable partitions."""
    answers: PartitionReplies[list[str]] = await query_partitions(
        context.pipeline,
        partial(store.list_ids, now=context.clock(), retention=context.settings.retention),
    )
    found = [
        org_id
        for ids in answers.by_partition.values()
        for org_id in ids
        if org_id.lower().startswith(prefix.lower())
    ]
    return sorted(found, key=lambda org_id: (org_id.lower(), org_id)), answers.unreadable
