import re
from collections import Counter
from collections.abc import Callable

import pytest

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions import versification
from bibleqa.data.reference import parse
from bibleqa.text import contains

Asked = Callable[[str], dict[str, Item]]
_ROW = re.compile(r"^English (?P<here>.+?) = (?P<name>Hebrew|Greek|Latin) (?P<there>.+)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("chapter", "row"),
    [
        ("Psalms 51", "English Psalm 51:1 = Hebrew Psalm 51:3"),
        ("Psalms 51", "English the title of Psalm 51 = Hebrew Psalm 51:1 and Psalm 51:2"),
        ("Joel 3", "English Joel 3:18 = Hebrew Joel 4:18"),
        ("Malachi 4", "English Malachi 4:2 = Hebrew Malachi 3:20"),
        ("Psalms 23", "English Psalm 23:2 = Greek Psalm 22:2"),
        ("Genesis 31", "English Genesis 31:55 = Hebrew Genesis 32:1"),
    ],
)
def test_rows_say_what_printed_bibles_have(
    corpus: Corpus, chapter: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versification, "_OF_A_CHAPTER", dict.fromkeys(("hebrew", "greek", "latin"), 1000))
    monkeypatch.setattr(versification, "_LIMIT", 100_000)
    first = parse(chapter).first
    numbers = [v for v in versification._chapters() if v[-1] // 1000 == first.id // 1000]
    monkeypatch.setattr(versification, "_chapters", lambda: iter(numbers))
    assert row in {line for item in versification.questions(corpus) for line in item.context.split("\n")}


def test_every_answer_is_read_off_the_row_of_the_verse_that_is_asked_about(asked: Asked) -> None:
    for key, item in asked("versification").items():
        rows = [(m["here"], m["there"]) for m in _ROW.finditer(item.context)]
        kind = key.rpartition(":")[2]
        if kind == "agree":
            assert (item.answer, item.answer) in rows
            after = [here != there for here, there in rows][[here for here, _ in rows].index(item.answer) + 1 :]
            assert after
            assert all(after), item
        else:
            pairs = rows if kind == "there" else [(there, here) for here, there in rows]
            assert [there for here, there in pairs if contains(item.question, here)] == [item.answer], item


def test_all_kinds_are_there_and_there_are_enough(asked: Asked) -> None:
    kinds = Counter(key.rpartition(":")[2] for key in asked("versification"))
    traditions = Counter(key.split(":")[1] for key in asked("versification"))
    assert len(asked("versification")) >= 500
    assert kinds["there"] > kinds["back"] > 100
    assert kinds["agree"] >= 10
    assert min(traditions.values()) >= 80
