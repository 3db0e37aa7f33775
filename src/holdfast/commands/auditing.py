"""The audit's own upkeep: records that are old enough are deleted, and the chain goes on behind them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditHead, AuditRecord, cut, new_head
from holdfast.domain.ids import AccountId, AuditId

AUDIT_LIST = ListSpec(
    "audit",
    (AuditRecord,),
    {name: (Filter("audit", name),) for name in ("action", "target", "key_id")},
    order="id",
)

AUDIT_CHAIN = ListSpec("audit_chain", (AuditRecord,), {}, order="number", descending=False)
"""The records of an account in the order in which each carries the hash of the one before it."""


class CutAudit(NamedTuple):
    """Delete the oldest records of an account's audit; their last hash stays, as what the rest is checked from.

    record_ids: the oldest ones, as they were found. before_at_ms: none that is younger is deleted.
    """

    account_id: AccountId
    record_ids: tuple[AuditId, ...]
    before_at_ms: int

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The records, and the chain's head."""
        return *(Key(AuditRecord, (each,)) for each in self.record_ids), Key(AuditHead, (self.account_id,))

    def decide(self, view: View) -> Reply:
        """How many were deleted."""
        keys = [Key(AuditRecord, (each,)) for each in self.record_ids]
        return Reply({"deleted": cut_audit(view, keys, before_at_ms=self.before_at_ms)})


def cut_audit(view: View, keys: Sequence[Key], *, before_at_ms: int) -> int:
    """Delete records of any accounts that are older than a time; how many.

    Of each account none is deleted that does not follow at once on those deleted before: a chain has no holes.
    """
    found = [view.get(AuditRecord, *key.values) for key in keys]
    records = sorted((each for each in found if each is not None), key=lambda each: (each.account_id, each.number))
    accounts = list(dict.fromkeys(each.account_id for each in records))
    view.require(*[Key(AuditHead, (each,)) for each in accounts])
    deleted = 0
    for account_id in accounts:
        head = view.get(AuditHead, account_id) or new_head(account_id)
        for record in records:
            is_next = record.account_id == account_id and record.number == head.cut_number + 1
            if is_next and record.at_ms < before_at_ms:
                head = cut(head, record)
                view.delete(Key(AuditRecord, (record.id,)))
                deleted += 1
        if head.cut_number:
            view.put(head)
    return deleted
