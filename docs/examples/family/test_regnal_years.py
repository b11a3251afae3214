from regnal_years import OPEN_BOOK, TYPE, questions

from bibleqa.data.build import answer_stands
from bibleqa.data.kjv import kjv


def test_a_year_is_asked_for_with_king_and_verse() -> None:
    by_verse = {item.reference: item for item in questions(kjv())}
    item = by_verse["Daniel 1:1"]
    assert (item.answer, item.type, item.open_book) == ("third", TYPE, OPEN_BOOK)
    assert "Jehoiakim" in item.question
    assert "Daniel 1:1" in item.question


def test_there_are_enough_and_every_answer_stands_in_its_context() -> None:
    items = list(questions(kjv()))
    assert len(items) > 60
    assert len({item.id for item in items}) == len(items)
    assert all(answer_stands(item) for item in items)
