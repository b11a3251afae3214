from collections.abc import Callable

import pytest

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions.divine_name import terms


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Genesis 2:4", [("LORD", "H3068"), ("God", "H430")]),
        ("Ezekiel 2:4", [("Lord", "H136"), ("GOD", "H3068")]),
        ("Exodus 23:17", [("Lord", "H113"), ("GOD", "H3068")]),
        ("Psalms 8:1", [("LORD", "H3068"), ("Lord", "H113")]),
        ("Ruth 1:21", [("LORD", "H3068"), ("Almighty", "H7706")]),
        ("Isaiah 47:4", [("LORD", "H3068"), ("hosts", "H6635")]),
        ("Exodus 15:2", []),  # Yah and El
        ("Exodus 34:6", [("LORD", "H3068")]),  # "The LORD God, merciful" has El
        ("Genesis 43:14", [("Almighty", "H7706")]),  # God Almighty has El
        ("Psalms 150:6", []),  # Yah
        ("Job 19:21", []),  # Eloah
        ("Ezra 5:2", []),  # Aramaic
        ("Exodus 33:9", []),  # the translators supplied "the LORD"
        ("Psalms 92:8", []),  # "most high" is marom
        ("Luke 2:11", []),  # Greek
    ],
)
def test_only_certain_terms_are_taken(bible: Bible, reference: str, expected: list[tuple[str, str]]) -> None:
    (verse,) = bible.passage(reference)
    assert [(t.english, t.number) for t in terms(verse)] == expected


def test_notes_tell_terms_apart(family: Callable[[str], list[Item]]) -> None:
    for item in family("divine_name"):
        numbers = {line.rsplit(" ", 1)[1] for line in item.context.split("\n") if ", note]" in line}
        assert item.strongs_id in numbers
        assert len(numbers) > 1, item


def test_there_are_enough(family: Callable[[str], list[Item]]) -> None:
    assert len(family("divine_name")) >= 1000
