"""The verses that a question names: "in John 3:16", "verses 4-6", "that verse", "the next verse"."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from bibleqa.data.item import Turn
from bibleqa.data.reference import Passage, Reference, find_book, passages
from bibleqa.errors import ConfigError

MOST = 40
"""Verses that are looked up for one question: a long chapter, but no book."""

_TO = r"\s*(?:[-\u2010-\u2015\u2212]|\b(?:to|through|until)\b)\s*"
_NUMBER = r"\d{1,3}(?!\d)"
_PLACE = (
    rf"(?:chapters?\s+)?{_NUMBER}"
    rf"(?:(?:\s*:\s*|\.|,?\s*(?:verses?|vv?\.)\s*){_NUMBER}[a-c]?\b(?:{_TO}{_NUMBER}(?::{_NUMBER})?)?)?"
)
_NAMED = re.compile(
    rf"\b(?P<lead>(?:[1-3]|i{{1,3}}|first|second|third|1st|2nd|3rd)\s+)?"
    rf"(?P<book>[^\W\d_]+(?:\s+of\s+[^\W\d_]+)?)\.?\s+(?P<place>{_PLACE})",
    re.IGNORECASE,
)
_CHAPTER = re.compile(rf"\bchapter\s+({_NUMBER})(?!\s*:)(?:,?\s*verses?\s+({_NUMBER})(?:{_TO}({_NUMBER}))?)?", re.I)
_VERSES = re.compile(rf"\bverses?\s+({_NUMBER})(?:{_TO}({_NUMBER}))?", re.IGNORECASE)
_THAT_CHAPTER = re.compile(r"\b(?:th(?:at|is)|the same) (?:chapter|psalm)\b", re.IGNORECASE)
_THAT_VERSE = re.compile(r"\b(?:th(?:at|is|ose|ese)|the same) (?:verses?|passages?|texts?)\b", re.IGNORECASE)
_NEXT = re.compile(r"\b(?:the )?(?:next|following) verse\b|\bthe verse after\b", re.IGNORECASE)
_PREVIOUS = re.compile(r"\b(?:the )?(?:previous|preceding) verse\b|\bthe verse before\b", re.IGNORECASE)


def verses_of(question: str, history: Sequence[Turn] = ()) -> list[Reference]:
    """The verses that a question names, in its order, each once and `MOST` at the most.

    What it says of "that verse" or "verses 4-6" is understood by the passage named before it: in the question itself,
    or in the latest turn of the history that names one.
    """
    named = mentions(question)
    before = next((found[-1] for found in map(mentions, _backward(history)) if found), None)
    related = list(_related(question, named[-1] if named else before))
    found = dict.fromkeys(verse for passage in [*named, *related] for verse in passage.verses)
    return list(found)[:MOST]


def without(question: str) -> str:
    """The question without the references in it: they are looked up, not searched."""
    kept, end = [], 0
    for place, _ in _named(question):
        kept.append(question[end : place.start])
        end = place.stop
    return " ".join(" ".join([*kept, question[end:]]).split())


def mentions(text: str) -> list[Passage]:
    """The passages that a text names by their book, in its order."""
    return [passage for _, passage in _named(text)]


def _backward(history: Sequence[Turn]) -> Iterator[str]:
    for turn in reversed(history):
        yield turn.answer
        yield turn.question


def _named(text: str) -> Iterator[tuple[slice, Passage]]:
    """Where a text names passages, and which: "in 7" and "Mark 90:1" are none."""
    start = 0
    while match := _NAMED.search(text, start):
        if found := next(_readings(match), None):
            yield found
            start = match.end()
        else:
            start = match.start() + 1


def _readings(match: re.Match[str]) -> Iterator[tuple[slice, Passage]]:
    """A passage that is named, its book with all that stands before it or less: "first John", "words of John"."""
    only_chapter = match["place"].strip().isdigit()
    lead, book, place = match["lead"] or "", match["book"], re.sub(_TO, "-", match["place"])
    last_word = book.split()[-1]
    for number, name in ((lead, book), ("", book), ("", last_word)):
        if only_chapter and not (len(name) > 2 and name[0].isupper()):
            continue  # "is 5" is no chapter of Isaiah
        try:
            find_book(number + name)
            passage = passages(f"{number}{name} {place}")[0]
        except ConfigError:
            continue
        start = match.start() if number else match.end("book") - len(name)
        yield slice(start, match.end()), passage


def _related(question: str, known: Passage | None) -> Iterator[Passage]:
    """The passages that a question names by their place beside another."""
    if known is None:
        return
    bare = without(question)
    for match in _CHAPTER.finditer(bare):
        yield from _made(known, int(match[1]), match[2], match[3])
    for match in _VERSES.finditer(_CHAPTER.sub("", bare)):
        yield from _made(known, known.last.chapter, match[1], match[2])
    if _THAT_CHAPTER.search(bare):
        yield from _made(known, known.last.chapter, None, None)
    if _THAT_VERSE.search(bare):
        yield known
    for pattern, verse in ((_NEXT, known.last.verse + 1), (_PREVIOUS, known.first.verse - 1)):
        if verse > 0 and pattern.search(bare):
            yield from _made(known, (known.last if pattern is _NEXT else known.first).chapter, str(verse), None)


def _made(known: Passage, chapter: int, first: str | None, last: str | None) -> Iterator[Passage]:
    """A passage of the book of another; nothing where there is none."""
    book = known.first.in_book
    if 1 <= chapter <= book.chapters:
        end = int(last or first or book.verses[chapter - 1])
        with suppress(ConfigError):
            yield Passage(Reference(book.number, chapter, int(first or 1)), Reference(book.number, chapter, end))
