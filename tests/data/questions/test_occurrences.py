import re
from collections import Counter
from collections.abc import Callable

import pytest

from bibleqa.data.build import answer_stands
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import gives_itself_away
from bibleqa.data.questions.occurrences import Lexeme, lexemes

Asked = Callable[[str], dict[str, Item]]


@pytest.fixture(scope="module")
def found(corpus: Corpus) -> dict[str, Lexeme]:
    return {word.entry.strongs: word for word in lexemes(corpus)}


def test_verses_are_counted_and_not_tags(corpus: Corpus, found: dict[str, Lexeme]) -> None:
    assert len(found["H2617"].verses) == 241
    assert len(found["H2617"].verses) == len(set(corpus.occurrences("kjv", "H2617")))
    assert corpus.occurrences("kjv", "G622").count(43003016) == 2  # should … perish
    assert found["G622"].verses.count(43003016) == 1


def test_particles_and_badly_tagged_words_are_left_out(found: dict[str, Lexeme]) -> None:
    assert not {"H853", "H2009", "G3303", "G3588"} & found.keys()


def test_the_answers_are_those_of_the_store(corpus: Corpus, asked: Asked) -> None:
    items = asked("occurrences").values()
    books = {verse.book: verse.id // 1_000_000 for verse in corpus.bible.verses}
    checked = Counter[str]()
    for item in items:
        kind = item.id.rpartition(":")[2]
        verses = sorted({v for v in corpus.occurrences("kjv", item.strongs_id) if v % 1000})
        named = [book for book in sorted(books, key=len, reverse=True) if book in item.question]
        own = [v for v in verses if not named or v // 1_000_000 == books[named[0]]]
        by_book = Counter(v // 1_000_000 for v in verses)
        if kind in ("count", "all", "listed"):
            assert item.answer == str(len(own)), item
        elif kind in ("first", "last"):
            assert item.answer == corpus.bible[own[0 if kind == "first" else -1]].reference, item
        elif kind == "most":
            assert by_book[books[item.answer]] == max(by_book.values()), item
            assert list(by_book.values()).count(max(by_book.values())) == 1
        else:
            column = {row.split(":")[0]: int(re.search(rf"\b{named[0]} (\d+)", row)[1])  # type: ignore[index]
                      for row in item.context.split("\n")[1:]}  # fmt: skip
            top = max(column.values())
            assert [word for word, count in column.items() if count == top] == [f"{item.strongs_id} {item.answer}"]
        checked[kind] += 1
    assert set(checked) == {"count", "all", "most", "word", "listed", "first", "last"}
    assert min(checked.values()) >= 80


def test_every_answer_stands_in_a_short_context_without_verses(asked: Asked) -> None:
    for item in asked("occurrences").values():
        assert answer_stands(item), item
        assert not gives_itself_away(item), item
        assert not item.reference
        assert not item.context.startswith("[")
        assert len(item.context) < 900


def test_there_are_enough_and_no_answer_dominates(asked: Asked) -> None:
    items = asked("occurrences").values()
    assert len(items) >= 1400
    assert Counter(item.answer for item in items).most_common(1)[0][1] <= 0.03 * len(items)
