"""Which verse is this; closed-book, the answer is the reference."""

from collections import Counter
from collections.abc import Iterator

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse, book_abbreviations
from bibleqa.data.questions.craft import choose, select
from bibleqa.text import words

TYPE = "which_verse"
OPEN_BOOK = False

_SHARE, _LIMIT = 0.01, 2000
_VERSE_WORDS = range(9, 36)
_RUN = 6
# Four words at most before the verse: with a longer run of its words they would be ten in a row that others share.
_WORDINGS = (
    "Which KJV verse reads: “{text}”",
    "Which Bible verse is: “{text}”",
    "Where is it written: “{text}”",
    "Give the reference of: “{text}”",
)


def questions(bible: Bible) -> Iterator[Item]:
    """The verses that no other verse shares six words in a row with."""
    runs = Counter(run for verse in bible.verses for run in _runs(verse))
    short = book_abbreviations()
    fit = (
        v
        for v in bible.verses
        if len(v.text.split()) in _VERSE_WORDS and v.text[-1] in ".!?" and all(runs[run] == 1 for run in _runs(v))
    )
    return iter(select((_item(v, short[v.book]) for v in fit), _SHARE, _LIMIT))


def _runs(verse: Verse) -> set[tuple[str, ...]]:
    row = words(verse.text)
    return {row[i : i + _RUN] for i in range(len(row) - _RUN + 1)}


def _item(verse: Verse, abbreviations: tuple[str, ...]) -> Item:
    key = f"{TYPE}:{verse.id}"
    place = f"{verse.chapter}:{verse.verse}"
    singular = ("Psalm",) if verse.book == "Psalms" else ()
    other = ("Song of Solomon",) if verse.book == "Song of Songs" else ()
    return Item(
        id=key,
        context="",
        question=choose(f"wording:{key}", _WORDINGS).format(text=verse.text),
        answer=verse.reference,
        type=TYPE,
        reference=verse.reference,
        open_book=False,
        variants=(
            *(f"{book} {place}" for book in (*singular, *other, *abbreviations)),
            f"{verse.book} chapter {verse.chapter} verse {verse.verse}",
        ),
    )
