"""Names: a scope's canonical string, and ids that sort as they were made."""

from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.domain.errors import SENTENCES, Code
from holdfast.domain.ids import AccountId, Mint, SessionId, ulid
from holdfast.domain.keys import format_key, is_well_formed
from holdfast.domain.scope import Scope, ScopeParts, acquire, canonical, has_later_rival, own_scope, unused

QUICK = settings(derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize(("parts", "expected"), [
    (ScopeParts(), ""),
    (ScopeParts(repo="holdfast"), "repo=holdfast"),
    (
        ScopeParts("p1", "acme", "acme/site", "main", "/home/ann/my work"),
        "project_id=p1;venture=acme;repo=acme%2Fsite;track=main;workspace=%2Fhome%2Fann%2Fmy%20work",
    ),
    (ScopeParts(workspace="w", project_id="p"), "project_id=p;workspace=w"),
    (ScopeParts(repo="a;track=b"), "repo=a%3Btrack%3Db"),
    (ScopeParts(repo="é%🦊"), "repo=%C3%A9%25%F0%9F%A6%8A"),
    (ScopeParts(repo="A-Z_a.z~9"), "repo=A-Z_a.z~9"),
    (ScopeParts(repo=""), "repo="),
])  # fmt: skip
def test_the_canonical_string_of_a_scope(parts: ScopeParts, expected: str) -> None:
    assert canonical(parts) == expected


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)


@QUICK
@given(st.builds(ScopeParts, texts, texts, texts, texts, texts))
def test_a_canonical_string_tells_its_parts(parts: ScopeParts) -> None:
    pairs = [pair.split("=") for pair in canonical(parts).split(";") if pair]
    given_parts = {name: value for name, value in parts._asdict().items() if value is not None}
    assert {name: unquote(value) for name, value in pairs} == given_parts


def test_a_session_s_own_scope_is_named_after_it() -> None:
    assert own_scope(SessionId("sess_1")) == "session=sess_1"


def test_tokens_grow_at_every_acquisition_and_stay_above_the_floor() -> None:
    scope = unused(AccountId("default"), "x")
    tokens = []
    for is_exclusive, floor in ((False, 0), (True, 0), (False, 100), (True, 7)):
        scope = acquire(scope, is_exclusive=is_exclusive, token_floor=floor)
        tokens.append((scope.last_token, scope.last_exclusive_token))
    assert tokens == [(1, 0), (2, 2), (101, 2), (102, 102)]


@pytest.mark.parametrize(("last", "last_exclusive", "token", "is_exclusive", "expected"), [
    (5, 0, 5, False, False),
    (6, 0, 5, False, False),
    (6, 6, 5, False, True),
    (6, 5, 5, False, False),
    (5, 5, 5, True, False),
    (6, 5, 5, True, True),
    (6, 6, 5, True, True),
])  # fmt: skip
def test_a_later_rival_is_whoever_acquired_since_where_either_wants_the_scope_alone(
    last: int, last_exclusive: int, token: int, is_exclusive: bool, expected: bool
) -> None:
    scope = Scope(AccountId("default"), "x", last, last_exclusive)
    assert has_later_rival(scope, fencing_token=token, is_exclusive=is_exclusive) is expected


@pytest.mark.parametrize(("at_ms", "random", "expected"), [
    (0, 0, "00000000000000000000000000"),
    (0, 1, "00000000000000000000000001"),
    (1, 0, "00000000010000000000000000"),
    (1_469_918_176_385, 0, "01ARYZ6S410000000000000000"),
    (1_469_918_176_385, 2**80 - 1, "01ARYZ6S41ZZZZZZZZZZZZZZZZ"),
    (1_469_922_850_259, 0, "01ARZ3NDEK0000000000000000"),
    (2**48 - 1, 2**80 - 1, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
    (0, 2**80 + 31, "0000000000000000000000000Z"),
])  # fmt: skip
def test_ulids_are_as_their_specification_says(at_ms: int, random: int, expected: str) -> None:
    # 01ARYZ6S41 for 1469918176385, 01ARZ3NDEK, and the largest: https://github.com/ulid/spec and its reference tests.
    assert ulid(at_ms, random) == expected


@QUICK
@given(st.lists(st.tuples(st.sampled_from((0, 5, 6, 2**47)), st.sampled_from((0, 7, 2**80 - 1, 2**90))), min_size=2))
def test_ids_sort_as_they_were_made_whatever_the_clock_does(asked: list[tuple[int, int]]) -> None:
    mint = Mint()
    made = [mint.next("sess", at_ms=at_ms, random=random) for at_ms, random in asked]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert all(each.startswith("sess_") and len(each) == len("sess_") + 26 for each in made)


def test_ids_taken_back_are_given_again() -> None:
    mint = Mint()
    mint.next("a", at_ms=5, random=9)
    mark = mint.mark()
    once = [mint.next("a", at_ms=5, random=3), mint.next("a", at_ms=5, random=4)]
    mint.go_back(mark)
    assert [mint.next("a", at_ms=5, random=3), mint.next("a", at_ms=5, random=4)] == once


@QUICK
@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_well_formed_and_a_mistyped_one_is_not(entropy: bytes) -> None:
    key = format_key(entropy)
    assert is_well_formed(key)
    for position in (0, 4, 20, len(key) - 1):
        mistyped = key[:position] + ("a" if key[position] != "a" else "b") + key[position + 1 :]
        assert not is_well_formed(mistyped)
    assert not is_well_formed(key[:-1])
    assert not is_well_formed(key + "0")
    assert not is_well_formed("")


def test_every_code_has_its_sentence() -> None:
    assert SENTENCES.keys() == set(Code)
