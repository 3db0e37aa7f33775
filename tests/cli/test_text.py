"""Text for terminals: harmless, measured, cut to fit; and tables made of it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.cli.layout import Column, Line, Span, render
from holdfast.doors.cli.text import Cut, fit, shown, width_of

CUTS: tuple[Cut, ...] = ("end", "start", "middle")


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain text", "plain text"),
        ("Größe, 設計, résumé, 🙂", "Größe, 設計, résumé, 🙂"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r\tand a tab", "two\\nlines\\r\\tand a tab"),
        ("\x00\x07\x7f\x9b2J", "\\x00\\x07\\x7f\\x9b2J"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("\u2066a\u2069\u200f", "\\u2066a\\u2069\\u200f"),
        ("zero\u200bwidth\u200d\ufeff", "zero\\u200bwidth\\u200d\\ufeff"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\U000e0041tag \U0001f3f4\ufe0f", "\\U000e0041tag 🏴\\ufe0f"),
        ("filler\u3164 \u2800", "filler\\u3164 \\u2800"),
        ("torn \ud800", "torn \\ud800"),
        ("non\u00a0breaking\u3000space", "non breaking space"),
    ],
)
def test_what_steers_a_terminal_or_hides_is_shown_as_an_escape(text: str, harmless: str) -> None:
    assert shown(text) == harmless


@given(st.text(st.characters()))
def test_a_shown_text_has_nothing_left_to_escape_and_no_control_in_it(text: str) -> None:
    harmless = shown(text)
    assert shown(harmless) == harmless
    assert all(unicodedata.category(char)[0] != "C" for char in harmless)


@given(st.text(), st.integers(min_value=0, max_value=40), st.sampled_from(CUTS))
def test_a_fitted_text_is_never_wider_than_its_room(text: str, width: int, cut: Cut) -> None:
    harmless = shown(text)
    fitted = fit(harmless, width, cut=cut)
    assert width_of(fitted) <= width
    if width_of(harmless) <= width:
        assert fitted == harmless


@pytest.mark.parametrize(("cut", "fitted"), [("end", "abcd…"), ("start", "…fghi"), ("middle", "ab…hi")])
def test_an_ellipsis_stands_for_what_was_cut_away(cut: Cut, fitted: str) -> None:
    assert fit("abcdefghi", 5, cut=cut) == fitted


def test_wide_characters_count_twice_and_combining_ones_not_at_all() -> None:
    assert (width_of("設計"), width_of("e\u0301"), width_of("abc")) == (4, 1, 3)
    assert fit("設計エ", 5, cut="end") == "設計…"


COLUMNS = [
    Column("ID"),
    Column("SCOPE", comfort=8, least=5, cut="start"),
    Column("NOTE", comfort=6, drop=1),
]
ROWS = [[Span("1"), Span("a/long/scope"), Span("something")], [Span("22"), Span("short"), Span("")]]


def lines_of(rendered: list[Line]) -> list[str]:
    """The lines without their styles."""
    return ["".join(span.text for span in line) for line in rendered]


def test_a_table_with_room_shows_everything() -> None:
    assert lines_of(render(COLUMNS, ROWS, width=None)) == [
        "ID  SCOPE         NOTE",
        "1   a/long/scope  something",
        "22  short         ",
    ]


def test_columns_shrink_to_their_comfort_before_one_is_dropped() -> None:
    assert lines_of(render(COLUMNS, ROWS, width=20))[1] == "1   …g/scope  somet…"
    assert lines_of(render(COLUMNS, ROWS, width=19))[1] == "1   a/long/scope"


def test_columns_shrink_below_their_comfort_where_none_is_left_to_drop() -> None:
    assert lines_of(render(COLUMNS, ROWS, width=9))[1] == "1   …cope"
    assert lines_of(render(COLUMNS, ROWS, width=3))[1] == "1   …cope"


def test_a_column_that_says_nothing_is_left_out() -> None:
    assert lines_of(render(COLUMNS, [[Span("1"), Span(""), Span("x")]], width=None)) == ["ID  NOTE", "1   x"]


def test_nothing_in_a_table_is_left_unescaped() -> None:
    assert lines_of(render(COLUMNS, [[Span("1"), Span("\x1b[2J"), Span("")]], width=None))[1] == "1   \\x1b[2J"
