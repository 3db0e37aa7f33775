"""What must hold of the rows of any database, whatever was done to it, as statements that find what breaks it.

These repeat no rule: the domain keeps them, command by command. They find what a bug, a broken disk or a hand in the
tables left behind.
"""

from typing import NamedTuple

from holdfast.maintenance.tables import Tables

EXAMPLES_MAX = 5


class Invariant(NamedTuple):
    """claim: what holds. broken: a statement that finds the ids of what breaks it, each with its account."""

    name: str
    claim: str
    broken: str


class Broken(NamedTuple):
    """An invariant that does not hold, how often, and some of what breaks it."""

    invariant: Invariant
    times: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.times > len(self.examples) else ""
        return f"{self.invariant.claim} That does not hold for {', '.join(self.examples)}{more} ({self.times} in all)."


INVARIANTS = (
    Invariant(
        "one_service_state",
        "There is one row about the service itself.",
        "select 'service_state', null from (select count(*) as found from service_state) as counted where found <> 1",
    ),
    Invariant(
        "tokens_within_counter",
        "No session has a token above its scope's counter.",
        """
        select session.id, session.account_id
        from session
        left join scope on scope.account_id = session.account_id and scope.scope = session.scope
        where session.fencing_token is not null
          and (scope.scope is null or session.fencing_token > scope.last_token)
        """,
    ),
    Invariant(
        "exclusive_tokens_within_counter",
        "No scope has issued an exclusive token above its counter.",
        "select account_id || ' ' || scope, account_id from scope where last_exclusive_token > last_token",
    ),
    Invariant(
        "exclusive_scope_held_once",
        "A scope that is held exclusively has one holder.",
        """
        select account_id || ' ' || held_scope, account_id
        from session
        where held_scope is not null
        group by account_id, held_scope
        having count(*) > 1 and sum(case when exclusive then 1 else 0 end) > 0
        """,
    ),
    Invariant(
        "held_scope_is_own_scope",
        "A session holds no scope but its own.",
        "select id, account_id from session where held_scope <> scope",
    ),
    Invariant(
        "workspace_session_on_its_scope",
        "The session of a workspace is on the workspace's scope.",
        """
        select workspace.scope, workspace.account_id
        from workspace
        join session on session.id = workspace.session_id
        where session.account_id <> workspace.account_id or session.scope <> workspace.scope
        """,
    ),
    Invariant(
        "checkpoints_without_gaps",
        "The checkpoints of a session are numbered without gaps, up to as many as it has.",
        """
        select session.id, session.account_id
        from session
        left join checkpoint on checkpoint.session_id = session.id
        group by session.id, session.account_id, session.checkpoint_count
        having coalesce(max(checkpoint.number), 0) <> session.checkpoint_count
          or coalesce(max(checkpoint.number) - min(checkpoint.number) + 1, 0) <> count(checkpoint.number)
        """,
    ),
    Invariant(
        "events_without_gaps",
        "The events of an account are numbered without gaps, up to its counter.",
        """
        select event.account_id, event.account_id
        from event
        left join event_counter on event_counter.account_id = event.account_id
        group by event.account_id, event_counter.last_number
        having max(event.number) - min(event.number) + 1 <> count(*)
          or event_counter.last_number is null
          or max(event.number) <> event_counter.last_number
        """,
    ),
    Invariant(
        "sessions_have_profiles",
        "A session and its profile are there together.",
        """
        select session.id, session.account_id
        from session
        left join session_profile on session_profile.id = session.id
        where session_profile.id is null
        union all
        select session_profile.id, session_profile.account_id
        from session_profile
        left join session on session.id = session_profile.id
        where session.id is null
        """,
    ),
    Invariant(
        "checkpoints_have_sessions",
        "A checkpoint belongs to a session.",
        """
        select checkpoint.id, checkpoint.account_id
        from checkpoint
        left join session on session.id = checkpoint.session_id
        where session.id is null
        """,
    ),
    Invariant(
        "client_ids_name_sessions",
        "A client's own id names a session that is there.",
        """
        select client_session.account_id || ' ' || client_session.client_session_id, client_session.account_id
        from client_session
        left join session on session.id = client_session.session_id
        where session.id is null
        """,
    ),
    Invariant(
        "accounts_exist",
        "Sessions and keys belong to an account that is there.",
        """
        select session.id, session.account_id
        from session
        left join account on account.id = session.account_id
        where account.id is null
        union all
        select api_key.id, api_key.account_id
        from api_key
        left join account on account.id = api_key.account_id
        where account.id is null
        """,
    ),
)


def broken_invariants(tables: Tables) -> list[Broken]:
    """Which of them do not hold. An account that is being erased loses its rows bit by bit, and is passed over."""
    erased = {account_id for (account_id,) in tables.query("select id from account where status like 'eras%'")}
    found = []
    for invariant in INVARIANTS:
        ids = [str(name) for name, account_id in tables.query(invariant.broken) if account_id not in erased]
        if ids:
            found.append(Broken(invariant, len(ids), tuple(ids[:EXAMPLES_MAX])))
    return found
