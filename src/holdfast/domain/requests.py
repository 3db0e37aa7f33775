"""Requests as they are remembered: one row each, and heartbeats, of which there are too many, as counts.

Never here: a body, a value of a query string, a key.
"""

from typing import NamedTuple

from holdfast.domain.ids import AccountId


class RequestRecord(NamedTuple):
    """One request and how it was answered.

    at_ms: when it was answered. route: the path with its ids left out; None where no route was meant.
    key_id: None where no key was accepted; the account is then the default one, whose operators run the server.
    error_code, detail: why it was refused, as the caller was told; detail also tells what was notable otherwise.
    """

    account_id: AccountId
    id: str
    at_ms: int
    request_id: str
    correlation_id: str
    method: str
    route: str | None
    key_id: str | None
    status: int
    duration_us: int
    request_bytes: int
    response_bytes: int
    error_code: str | None
    detail: str | None
    is_replay: bool


class RequestCount(NamedTuple):
    """Requests of a kind that is counted rather than remembered one by one, of one key within one minute.

    node: who counted; every node has rows of its own, so that none waits for another's.
    items: what the requests held, such as the accepted beats of a batch.
    """

    account_id: AccountId
    minute_at_ms: int
    key_id: str
    route: str
    node: str
    requests: int
    items: int
