"""The audit's own upkeep: records that are old enough are deleted, and the chain goes on behind them."""

from collections.abc import Iterable
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
        """How many were deleted: none that does not follow at once on those deleted before."""
        head = view.get(AuditHead, self.account_id) or new_head(self.account_id)
        found = [view.get(AuditRecord, each) for each in self.record_ids]
        records = [each for each in found if each is not None and each.account_id == self.account_id]
        cut_before = head.cut_number
        for record in sorted(records, key=lambda each: each.number):
            if record.number != head.cut_number + 1 or record.at_ms >= self.before_at_ms:
                break
            head = cut(head, record)
            view.delete(Key(AuditRecord, (record.id,)))
        if head.cut_number > cut_before:
            view.put(head)
        return Reply({"deleted": head.cut_number - cut_before})
