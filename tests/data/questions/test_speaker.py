from collections.abc import Callable

import pytest

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions.speaker import names_of, speech


@pytest.mark.parametrize(
    ("reference", "speaker", "hearer"),
    [
        ("Genesis 3:2", "the woman", "the serpent"),
        ("Genesis 27:11", "Jacob", "Rebekah"),
        ("Genesis 2:18", "the LORD God", ""),
        ("Joshua 2:9", "", "the men"),
        ("2 Samuel 20:4", "the king", "Amasa"),
        ("Luke 23:34", "Jesus", ""),
        ("1 Chronicles 21:24", "king David", "Ornan"),
        ("John 1:48", None, None),
    ],
)
def test_speaker_and_hearer_are_read(bible: Bible, reference: str, speaker: str | None, hearer: str | None) -> None:
    (verse,) = bible.passage(reference)
    said = speech(bible, verse)
    assert (said and said.speaker, said and said.hearer) == (speaker, hearer)


@pytest.mark.parametrize(
    "reference",
    [
        "Exodus 5:1",  # Moses and Aaron: not Aaron alone
        "Numbers 2:1",  # unto Moses and unto Aaron
        "Genesis 4:9",  # the LORD, and Cain answers
        "Genesis 22:1",  # God calls and Abraham answers
        "Exodus 3:14",  # what God says Moses shall say
        "Matthew 4:4",  # he answered: nobody is named
        "Deuteronomy 1:42",  # Moses tells what the LORD said unto him
    ],
)
def test_what_has_two_sides_or_none_is_refused(bible: Bible, reference: str) -> None:
    (verse,) = bible.passage(reference)
    assert speech(bible, verse) is None


def test_other_names_are_given_only_where_they_are_the_same_person(bible: Bible) -> None:
    assert names_of("Simon", bible[44008024]) == ()
    assert "Simon" in names_of("Peter", bible[44010046])
    assert names_of("Saul", bible[9017032]) == ()


def test_there_are_enough_and_no_answer_is_a_pronoun(family: Callable[[str], list[Item]]) -> None:
    items = family("speaker")
    assert len(items) >= 900
    pronouns = {"he", "she", "they", "him", "her", "them", "me", "I", "us"}
    assert not [i for i in items if i.answer in pronouns or " and " in i.answer]
