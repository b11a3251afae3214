from collections.abc import Callable

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible


def test_the_verse_is_quoted_whole_and_stands_nowhere_else(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    count: dict[str, int] = {}
    for verse in bible.verses:
        count[verse.text] = count.get(verse.text, 0) + 1
    for item in family("which_verse"):
        text = item.question.split("“", 1)[1].removesuffix("”")
        assert bible.passage(item.answer)[0].text == text
        assert count[text] == 1


def test_every_accepted_form_is_that_verse(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    for item in family("which_verse")[::20]:
        for form in item.accepted:
            written = form.replace(" chapter ", " ").replace(" verse ", ":")
            assert [v.reference for v in bible.passage(written)] == [item.reference], form


def test_there_are_enough(family: Callable[[str], list[Item]]) -> None:
    assert len(family("which_verse")) >= 1900
