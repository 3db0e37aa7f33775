"""Slots as they follow their sessions: let go of when a session is not live any more, taken again when it comes back.

Told of every change of a session by `holding.record`, so nothing else has to think of it. A slot's own row says who is
in it; whoever puts a session into one also holds the machine's row, which guards the set of its slots.
"""

from collections.abc import Iterable

from holdfast.commands.rows import Key, Members, SetSpec, profile_key
from holdfast.commands.view import View
from holdfast.domain import lifecycle, machine
from holdfast.domain.ids import AccountId
from holdfast.domain.limits import SLOTS_MAX
from holdfast.domain.machine import Machine, Slot
from holdfast.domain.session import Session, SessionProfile

SLOTS_OF_MACHINE = SetSpec("slots_of_machine", Slot, ("account_id", "machine_id"), order="number", limit=2 * SLOTS_MAX)
"""All slots of a machine, those too that go with their session."""


def machine_key(account_id: AccountId, machine_id: str) -> Key:
    """The row of a machine, which guards the set of its slots."""
    return Key(Machine, (account_id, machine_id))


def slots_of(account_id: AccountId, machine_id: str) -> Members:
    """All slots of a machine."""
    return Members(SLOTS_OF_MACHINE, (account_id, machine_id))


def slot_keys(view: View, sessions: Iterable[Session]) -> list[Key]:
    """The slots that these sessions are or were in, as far as their profiles are at hand, to be asked for at once."""
    keys = []
    for session in sessions:
        if view.holds(profile_key(session.id)):
            profile = view.get(SessionProfile, session.id)
            if profile is not None and profile.machine_id is not None and profile.slot is not None:
                keys.append(Key(Slot, (profile.account_id, profile.machine_id, profile.slot)))
    return keys


def follow(view: View, before: Session, after: Session) -> None:
    """Let a session's slot follow the session.

    One that lapsed or is over lets go. One that comes back takes the same slot if it is free, else goes on without.
    """
    is_live = lifecycle.is_live(after)
    profile = view.get(SessionProfile, after.id)
    assert profile is not None, "a session and its profile are written together"
    if profile.slot is None or profile.machine_id is None or lifecycle.is_live(before) == is_live:
        return
    slot = view.get(Slot, profile.account_id, profile.machine_id, profile.slot)
    if slot is None:
        # The machine is not registered, or has this slot no longer; then it is a mere label of the session.
        return
    if not is_live:
        let_go(view, after, slot)
    elif machine.is_free(slot):
        view.put(machine.taken(slot, after.id, now=view.now))
    elif slot.session_id != after.id:
        view.put(profile._replace(slot=None))


def let_go(view: View, session: Session, slot: Slot) -> None:
    """Give a slot back, unless it is not the session's any more."""
    if slot.session_id != session.id:
        return
    released = machine.released(slot, now=view.now)
    if released is None:
        view.delete(Key(Slot, slot[:3]))
    else:
        view.put(released)
