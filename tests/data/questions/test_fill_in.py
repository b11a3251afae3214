from collections.abc import Callable

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible


def test_the_answer_put_back_makes_the_verse(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    for item in family("fill_in"):
        (verse,) = bible.passage(item.reference)
        assert item.reference in item.question
        gap = item.question.split("“", 1)[1].removesuffix("”")
        assert gap.count("____") == 1
        assert gap.replace("____", item.answer) == verse.text


def test_the_word_says_something(family: Callable[[str], list[Item]]) -> None:
    answers = {item.answer for item in family("fill_in")}
    assert not answers & {"shall", "unto", "which", "thereof", "most", "save"}
    assert len(answers) > 500


def test_there_are_enough(family: Callable[[str], list[Item]]) -> None:
    assert len(family("fill_in")) >= 1900
