"""Arrays as PostgreSQL is given them."""

import psycopg
import pytest

from holdfast.commands.rows import Value
from holdfast.domain.session import Status
from holdfast.store.postgres import _array

TEXTS: list[list[Value]] = [
    [],
    [""],
    ["sess_1"],
    ["sess_1", "sess_2"],
    ["null", "NULL", "{}", "a,b", " padded ", "(1,2)"],
    ['"', '""', 'say "x"', '","', '"', "\\", '\\"', "a\\nb", "\n\t\r\x1f\x7f"],
    ["ü", "\u2028", "😀", "'; drop table session; --", "%s", "$1"],
    [None, "a", None],
    [Status.ACTIVE, "paused"],
]
NUMBERS: list[list[Value]] = [[1], [-(2**53), 0, 2**53], [None, 5, None], [2**63 - 1, -(2**63)]]
TRUTHS: list[list[Value]] = [[True], [False, True, None]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [("text", each) for each in TEXTS]
    + [("bigint", each) for each in NUMBERS]
    + [("boolean", each) for each in TRUTHS],
)
def test_an_array_arrives_as_it_was(kind: str, values: list[Value], postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(f"select %s::{kind}[]".encode(), [_array(values)], binary=True).fetchone()
    assert found == (values,)
