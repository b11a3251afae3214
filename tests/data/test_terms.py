from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from bibleqa.data import store, terms
from bibleqa.data.corpora.records import Reading, Word
from bibleqa.data.corpus import Corpus
from bibleqa.data.store import Source
from bibleqa.errors import ConfigError

NUMBERS = {"elohim": "H430", "hesed": "H2617", "theos": "G2316"}
PSALM_18_TITLE, PSALM_18_1 = 19018000, 19018001


def corpus_of(path: Path, sources: Mapping[str, list[Word]]) -> Corpus:
    """A store with these words."""

    def source(name: str, words: list[Word]) -> Source:
        def read(reading: Reading) -> Iterator[Word]:
            for word in words:
                with reading.row(1):
                    yield word

        return Source(name, "1", read, Path(name))

    for _ in store.build(path, [source(name, words) for name, words in sources.items()], 0):
        pass
    return Corpus(path)


def whole(source: str, books: range, counts: Mapping[str, int], verse: int = PSALM_18_1) -> list[Word]:
    """Every book with a word, and numbers in one verse as often as said."""
    words = [Word(source, book * 1_000_000 + 1001, 1, "and", "H853") for book in books]
    return words + [Word(source, verse, 1, "word", number) for number, n in counts.items() for _ in range(n)]


def test_terms_are_counted_by_source_and_book(tmp_path: Path) -> None:
    kjv = [
        *whole("kjv", range(1, 67), {"H430": 2, "H2617": 1, "G2316": 1}),
        Word("kjv", 1001001, 2, "God", "H430"),
    ]
    tahot = [Word("tahot", 1001001, 1, "אֱלֹהִים", "H430", "G"), Word("tahot", 1001001, 2, "חֶסֶד", "H2617", "a")]
    counts = terms.count(corpus_of(tmp_path / "c.sqlite", {"sword/kjv": kjv, "stepbible/tahot": tahot}), NUMBERS)

    assert [(c.name, c.source, dict(c.by_book)) for c in counts] == [
        ("elohim", "kjv", {1: 1, 19: 2}),
        ("elohim", "tahot", {1: 1}),
        ("hesed", "kjv", {19: 1}),
        ("hesed", "tahot", {1: 1}),
        ("theos", "kjv", {19: 1}),
    ]


@pytest.mark.parametrize(("short_by", "missed"), [(0, False), (terms.TOLERANCE, False), (terms.TOLERANCE + 1, True)])
@pytest.mark.parametrize("source", ["kjv", "tahot"])
def test_a_minimum_is_missed_by_more_than_the_tolerance(
    tmp_path: Path, source: str, short_by: int, missed: bool
) -> None:
    books = range(1, 67 if source == "kjv" else 40)
    words = whole(source, books, {"H2617": terms.EXPECTED[source]["H2617"] - short_by})
    (hesed,) = terms.count(corpus_of(tmp_path / "c.sqlite", {source: words}), {"hesed": "H2617"})
    assert hesed.missed == missed


def test_the_minima_are_those_that_were_counted() -> None:
    assert terms.EXPECTED["kjv"] == {"H430": 2604, "H3068": 6512, "H113": 335, "H2617": 248, "H539": 108}
    assert terms.EXPECTED["tahot"] == {"H430": 2600, "H3068": 6518, "H113": 329, "H2617": 247, "H539": 106}


def test_titles_of_psalms_count_in_the_hebrew_text_alone(tmp_path: Path) -> None:
    sources = {
        "kjv": whole("kjv", range(1, 67), {"H3068": 3}, PSALM_18_TITLE),
        "tahot": whole("tahot", range(1, 40), {"H3068": 3}, PSALM_18_TITLE),
    }
    counts = terms.count(corpus_of(tmp_path / "c.sqlite", sources), {"yhwh": "H3068"})
    assert {c.source: c.by_book.total() for c in counts} == {"kjv": 0, "tahot": 3}


def test_a_part_of_a_source_is_held_against_no_minimum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = corpus_of(tmp_path / "c.sqlite", {"tahot": whole("tahot", range(1, 4), {"H430": 1})})
    counts = terms.count(corpus, NUMBERS)
    assert all(c.minimum is None and not c.missed for c in counts)

    terms.show(corpus, counts, Console(width=200), all_books=False)
    out = capsys.readouterr().out
    assert "tahot has 3 of 39 books" in out
    assert "for kjv: bibleqa data fetch sword" in out
    assert "for tagnt: bibleqa data build corpus.stepbible_path=" in out


def test_all_books_are_shown_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [Word("tahot", book * 1_000_000 + 1001, 1, "אֱלֹהִים", "H430") for book in range(1, 8) for _ in range(book)]
    corpus = corpus_of(tmp_path / "c.sqlite", {"tahot": words})
    counts = terms.count(corpus, {"elohim": "H430"})
    terms.show(corpus, counts, Console(width=200), all_books=False)
    assert "Judges 7, Joshua 6, Deuteronomy 5 " in capsys.readouterr().out
    terms.show(corpus, counts, Console(width=200), all_books=True)
    assert "Genesis 1, Exodus 2, Leviticus 3, Numbers 4, Deuteronomy 5, Joshua 6, Judges 7" in capsys.readouterr().out


def test_a_store_without_words_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no words to count; for kjv: .*fetch sword.*; or for tahot and tagnt: .*"):
        terms.count(corpus_of(tmp_path / "c.sqlite", {}), NUMBERS)
