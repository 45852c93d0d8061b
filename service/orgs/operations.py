"""What the product does with organizations."""

from functools import partial

from service.context import Context
from service.orgs import store
from service.storage.partitions import Missing, Replies, query_each


async def find_orgs(context: Context, prefix: str) -> tuple[list[str], Missing]:
    """The ids that begin with ``prefix``, in any case and in order, and what was left out.

    Raises:
        Unavailable: no partition answers.
    """
    replies: Replies[list[str]] = await query_each(
        context.pipeline,
        partial(store.list_ids, now=context.clock(), retention=context.settings.retention),
    )
    found = [
        org_id
        for ids in replies.by_name.values()
        for org_id in ids
        if org_id.lower().startswith(prefix.lower())
    ]
    return sorted(found, key=lambda org_id: (org_id.lower(), org_id)), replies.missing
