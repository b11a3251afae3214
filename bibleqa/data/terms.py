"""The theological terms report: how often each critical term stands in each source, against what is known."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bibleqa.data.build import MISSING
from bibleqa.data.corpus import Corpus
from bibleqa.data.reference import BOOKS
from bibleqa.errors import ConfigError

EXPECTED: Mapping[str, Mapping[str, int]] = {
    "kjv": {"H430": 2604, "H3068": 6512, "H113": 335, "H2617": 248, "H539": 108},
    "tahot": {"H430": 2600, "H3068": 6518, "H113": 329, "H2617": 247, "H539": 106},
}
"""How often a number stands in the whole of a source. Each has its own counts, and none is made to fit another's."""

TOLERANCE = 3
"""How many of them may be missing: how readings of the margin are counted makes a difference of so much."""

_TOP = 3


@dataclass(frozen=True)
class _Text:
    """A source of words.

    Attributes:
        books: What it holds when it is whole.
        languages: The first letters of its Strong's numbers.
        titles: Whether what is expected of it counts the titles of the psalms.
        missing: What to do where it is not in the store.
    """

    books: range
    languages: str
    titles: bool
    missing: str


_TEXTS = {
    "kjv": _Text(range(1, 67), "HG", False, MISSING["sword"]),
    "tahot": _Text(range(1, 40), "H", True, MISSING["stepbible"]),
    "tagnt": _Text(range(40, 67), "G", True, MISSING["stepbible"]),
}


@dataclass(frozen=True)
class Count:
    """How often a term stands in a source.

    Attributes:
        name: The term (`elohim`).
        number: Its Strong's number.
        source: `kjv`, `tahot`, `tagnt`.
        by_book: Its occurrences by the number of the book.
        minimum: The fewest there may be; None where none is known, or where the source is not whole.
    """

    name: str
    number: str
    source: str
    by_book: Counter[int]
    minimum: int | None

    @property
    def missed(self) -> bool:
        """Whether there are too few."""
        return self.minimum is not None and self.by_book.total() < self.minimum


def books_of(corpus: Corpus, source: str) -> list[int]:
    """The numbers of the books that a source has words of."""
    return [book for book in _TEXTS[source].books if corpus.words(source, book * 1_000_000 + 1001)]


def count(corpus: Corpus, numbers: Mapping[str, str]) -> list[Count]:
    """Count terms in every source of the store.

    Args:
        corpus: The store.
        numbers: The Strong's numbers of the terms, by name.

    Raises:
        ConfigError: The store has none of the sources that are counted in.
    """
    found = {source: books for source in _TEXTS if (books := books_of(corpus, source))}
    if not found:
        raise ConfigError(f"the corpus has no words to count; {'; or '.join(_hints(_TEXTS))}")
    counts = []
    for name, number in numbers.items():
        for source, books in found.items():
            text = _TEXTS[source]
            if number[0] in text.languages:
                expected = EXPECTED.get(source, {}).get(number)
                is_whole = len(books) == len(text.books)
                verses = [v for v in corpus.occurrences(source, number) if text.titles or v % 1000]
                by_book = Counter(verse // 1_000_000 for verse in verses)
                minimum = expected - TOLERANCE if expected and is_whole else None
                counts.append(Count(name, number, source, by_book, minimum))
    return counts


def show(corpus: Corpus, counts: Iterable[Count], out: Console, *, all_books: bool) -> None:
    """Print the counts, and what is to be known of the sources."""
    table = Table("term", "number", "source", title_justify="left")
    for column in ("count", "minimum"):
        table.add_column(column, justify="right")
    table.add_column("by book" if all_books else "most of them in")
    for one in counts:
        total = f"{one.by_book.total():,}"
        minimum = "-" if one.minimum is None else f"{one.minimum:,}"
        books = sorted(one.by_book.items()) if all_books else one.by_book.most_common(_TOP)
        where = ", ".join(f"{BOOKS[book - 1].name} {times}" for book, times in books)
        table.add_row(one.name, one.number, one.source, f"[red]{total}[/]" if one.missed else total, minimum, where)
    out.print(table)
    missing = []
    for source, text in _TEXTS.items():
        there, whole = len(books_of(corpus, source)), len(text.books)
        if not there:
            missing.append(source)
        elif there < whole:
            out.print(f"{source} has {there} of {whole} books: its counts are held against no minimum")
        if there and not text.titles:
            out.print(f"{source} is counted without the titles of the psalms")
    for hint in _hints(missing):
        out.print(hint, markup=False)


def _hints(sources: Iterable[str]) -> list[str]:
    by_advice: dict[str, list[str]] = {}
    for source in sources:
        by_advice.setdefault(_TEXTS[source].missing, []).append(source)
    return [f"for {' and '.join(names)}: {advice}" for advice, names in by_advice.items()]
