"""In how many verses of a book a Hebrew or Greek word stands, in which book most often, and where first.

Counted are verses, and not tags: the King James Version often gives one word by several (`should … perish`), each of
them tagged. The tags are those of the SWORD module engKJV2006eb; titles of psalms are no verses.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bibleqa.data.corpora.records import LexiconEntry
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.questions.lexemes import dictionary, renders, sound_apart, tagged_verses, word_forms
from bibleqa.data.questions.numerals import modern

TYPE = "occurrences"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.03, 1500
# Each word stands in one table and one list only, so that no split shows what another one asks.
_WORDS = 3
_BOOKS = 4
_IN_BOOKS = 5
_VERSES = range(25, 1500)
_LISTED = range(3, 8)
_WELL_TAGGED = 0.7

Question = tuple[str, str, tuple[str, ...], str, tuple[str, ...]]
"""Its kind, its context, its wordings, the answer and variants."""


@dataclass(frozen=True)
class Lexeme:
    """A word and the verses it stands in, in order, each once."""

    entry: LexiconEntry
    verses: tuple[int, ...]

    @property
    def label(self) -> str:
        """`H2617 chêsêd`."""
        return f"{self.entry.strongs} {self.entry.transliteration}"

    @property
    def names(self) -> tuple[str, ...]:
        """How a question may call it."""
        sound, number = self.entry.transliteration, self.entry.strongs
        return (number, sound, f"{sound} ({number})")

    def books(self) -> Counter[int]:
        """In how many verses of each book it stands."""
        return Counter(verse // 1_000_000 for verse in self.verses)


def lexemes(corpus: Corpus) -> list[Lexeme]:
    """The words of content in the tagged text, in the order of the dictionaries.

    A word whose tags stand mostly on small words, or on such that the dictionary does not have, is a particle, or
    badly tagged: its count would say little.
    """
    entries = dictionary(corpus)
    verses: dict[str, dict[int, None]] = {}
    english: dict[str, Counter[str]] = {}
    for verse, tagged in tagged_verses(corpus):
        for word in tagged:
            verses.setdefault(word.strongs, {})[verse.id] = None
            english.setdefault(word.strongs, Counter())[word.text] += 1
    return [
        Lexeme(entry, tuple(verses[number]))
        for number, entry in entries.items()
        if number in verses and _is_well_tagged(entry, english[number])
    ]


def _is_well_tagged(entry: LexiconEntry, english: Counter[str]) -> bool:
    good = sum(count for text, count in english.items() if renders(text, entry))
    return good >= _WELL_TAGGED * english.total()


def questions(corpus: Corpus) -> Iterator[Item]:
    """Questions of tables of words by book, and of lists of the verses in a book."""
    found = lexemes(corpus)
    return iter(select((*_of_tables(corpus.bible, found), *_of_lists(corpus.bible, found)), _SHARE, _LIMIT))


def _of_tables(bible: Bible, found: list[Lexeme]) -> Iterator[Item]:
    books = {verse.id // 1_000_000: verse.book for verse in bible.verses}
    common = [w for w in found if len(w.verses) in _VERSES and len(w.books()) >= _IN_BOOKS]
    for group in _groups(common, _WORDS, "table"):
        word = group[0]
        for kind, context, wordings, answer, variants in _table(bible, books, group):
            yield _item(word, kind, context, wordings, answer, variants)


def _of_lists(bible: Bible, found: list[Lexeme]) -> Iterator[Item]:
    """Of words that stand in a few verses of a book; those of one book are listed two by two."""
    by_book: dict[int, list[Lexeme]] = {}
    for word in found:
        fit = [book for book, count in word.books().items() if count in _LISTED]
        if fit:
            by_book.setdefault(choose(f"{TYPE}:{word.entry.strongs}", fit), []).append(word)
    for book, words in sorted(by_book.items()):
        for group in _groups(words, 2, "list"):
            if len(group) == 2:
                yield from _list(bible, book, group[0], group[1])


def _groups(found: list[Lexeme], size: int, key: str) -> Iterator[list[Lexeme]]:
    """Words of one language in groups, each word in one of them."""
    for language in "HG":
        own = [word for word in found if word.entry.strongs[0] == language]
        own.sort(key=lambda word: digest(f"{TYPE}:{key}:{word.entry.strongs}"))
        for start in range(0, len(own) - size + 1, size):
            if sound_apart(word.entry for word in own[start : start + size]):
                yield own[start : start + size]


def _table(bible: Bible, books: Mapping[int, str], group: list[Lexeme]) -> Iterator[Question]:
    """Questions about the first word of a group."""
    word = group[0]
    counts = word.books()
    (top, most), (_, second) = counts.most_common(2)
    key = f"{TYPE}:{word.entry.strongs}"
    others = sorted((book for book in counts if book != top), key=lambda book: digest(f"{key}:{book}"))
    shown = sorted([top, *others[: _BOOKS - 1]])
    rows = sorted(group, key=lambda w: digest(f"{key}:{w.entry.strongs}"))
    lines = []
    for row in rows:
        by_book = row.books()
        cells = ", ".join(f"{books[book]} {by_book[book]}" for book in shown)
        lines.append(f"{row.label}: {len(row.verses)} in all; {cells}")
    context = "\n".join(["Verses with each word:", *lines])
    asked = choose(f"name:{key}", word.names)
    testament = "Old Testament" if word.entry.strongs[0] == "H" else "New Testament"
    book = choose(f"book:{key}", shown)
    in_book = (
        f"In how many verses of {books[book]} does {asked} stand?",
        f"How many verses of {books[book]} have {asked}?",
        f"How many verses with {asked} are there in {books[book]}?",
    )
    yield "count", context, in_book, str(counts[book]), _spoken(counts[book])
    in_all = (
        f"In how many verses of the {testament} does {asked} stand?",
        f"How many verses have {asked} in all?",
    )
    yield "all", context, in_all, str(len(word.verses)), _spoken(len(word.verses))
    if most > second:
        in_which = (
            f"Which book has {asked} in the most verses?",
            f"In which book does {asked} stand in the most verses?",
            f"Which book has the most verses with {asked}?",
        )
        yield "most", context, in_which, books[top], ("Psalm",) if books[top] == "Psalms" else ()
    leading = [b for b in shown if all(counts[b] > row.books()[b] for row in group[1:])]
    if leading:
        book = choose(f"leading:{key}", leading)
        tongue = "Hebrew" if word.entry.strongs[0] == "H" else "Greek"
        which = (
            f"Which of these {tongue} words stands in the most verses of {books[book]}?",
            f"Which word of the table has the most verses in {books[book]}?",
        )
        yield "word", context, which, word.entry.transliteration, word_forms(word.entry)


def _list(bible: Bible, book: int, word: Lexeme, other: Lexeme) -> Iterator[Item]:
    """Questions about the first of two words, whose verses in a book are listed."""
    name = next(v.book for v in bible.verses if v.id // 1_000_000 == book)
    key = f"{TYPE}:{word.entry.strongs}"
    lists = []
    for row in sorted((word, other), key=lambda w: digest(f"{key}:{w.entry.strongs}")):
        verses = [bible[verse].reference for verse in row.verses if verse // 1_000_000 == book]
        lists.append(f"{row.label} in {name}: " + "; ".join(f"({n}) {v}" for n, v in enumerate(verses, start=1)))
    context = "\n".join(lists)
    own = [bible[verse] for verse in word.verses if verse // 1_000_000 == book]
    asked = choose(f"listed:{key}", word.names)
    kinds: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...]], ...] = (
        (
            "listed",
            (
                f"How many verses of {name} have {asked}?",
                f"In how many verses of {name} does {asked} stand?",
            ),
            str(len(own)),
            _spoken(len(own)),
        ),
        (
            "first",
            (
                f"In which verse of {name} does {asked} stand first?",
                f"What is the first verse of {name} with {asked}?",
            ),
            own[0].reference,
            (f"{own[0].chapter}:{own[0].verse}",),
        ),
        (
            "last",
            (
                f"In which verse of {name} does {asked} stand last?",
                f"What is the last verse of {name} with {asked}?",
            ),
            own[-1].reference,
            (f"{own[-1].chapter}:{own[-1].verse}",),
        ),
    )
    kind, wordings, answer, variants = choose(f"list:{key}", kinds)
    yield _item(word, kind, context, wordings, answer, variants)


def _item(
    word: Lexeme, kind: str, context: str, wordings: tuple[str, ...], answer: str, variants: tuple[str, ...]
) -> Item:
    key = f"{TYPE}:{word.entry.strongs}:{kind}"
    return Item(
        id=key,
        context=context,
        question=choose(f"wording:{key}", wordings),
        answer=answer,
        type=TYPE,
        strongs_id=word.entry.strongs,
        variants=variants,
    )


def _spoken(count: int) -> tuple[str, ...]:
    """A number in words, with and without the `and`, and with its thousands set apart."""
    forms = dict.fromkeys((modern(count), modern(count).replace(" and ", " "), f"{count:,}"))
    return tuple(form for form in forms if form != str(count))
