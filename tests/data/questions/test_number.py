from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions.number import measures
from bibleqa.data.questions.numerals import modern, numerals, value_of


@pytest.mark.parametrize(
    ("phrase", "value"),
    [
        ("an hundred and seven and twenty", 127),
        ("threescore and ten", 70),
        ("threescore and fifteen", 75),
        ("an hundred and forty and four thousand", 144_000),
        ("six hundred thousand and three thousand and five hundred and fifty", 603_550),
        ("a thousand two hundred and threescore", 1260),
        ("sixscore thousand", 120_000),
        ("nine hundred and fifty and six", 956),
        ("one seven", None),
        ("a thousand and an hundred thousand", None),
        ("seven and seven", None),
        ("thirty and ten", None),
    ],
)
def test_number_words_have_their_value_or_none(phrase: str, value: int | None) -> None:
    assert value_of(phrase) == value


@given(st.integers(1, 999_999))
def test_modern_words_are_read_back(value: int) -> None:
    assert value_of(modern(value).replace("-", " ")) == value


def test_ordinals_are_not_numbers() -> None:
    assert [n.value for n in numerals("In the nine and thirtieth year, two parts")] == [None, 2]


@pytest.mark.parametrize(
    ("reference", "answers"),
    [
        ("Genesis 5:6", {("begat", 105)}),
        ("Genesis 5:7", {("after", 807)}),
        ("Genesis 9:29", {("life", 950)}),
        ("Genesis 7:6", {("age", 600)}),
        ("2 Chronicles 25:1", {("age", 25), ("reign", 29)}),
        ("Ezra 2:3", {("clan", 2172)}),
        ("Matthew 25:1", {("count", 10)}),
        ("Exodus 25:10", set()),  # two cubits and a half
        ("Deuteronomy 17:6", set()),  # two or three witnesses
        ("Genesis 2:24", set()),  # one flesh
        ("Genesis 17:24", set()),  # ninety years old and nine
        ("Joshua 18:4", set()),  # three men for each tribe
        ("Genesis 41:29", {("count", 7)}),
        ("Numbers 1:40", set()),  # from twenty years old and upward
        ("Matthew 18:22", set()),  # seventy times seven
        ("2 Kings 15:17", {("began", 10)}),
    ],
)
def test_the_numbers_of_a_verse(bible: Bible, reference: str, answers: set[tuple[str, int]]) -> None:
    (verse,) = bible.passage(reference)
    assert {(m.kind, m.numeral.value) for m in measures(bible, verse)} == answers


def test_there_are_enough_and_digits_are_accepted(family: Callable[[str], list[Item]]) -> None:
    items = family("number")
    assert len(items) >= 900
    assert all(any(v.isdigit() for v in item.variants) for item in items)
