"""Verses, lexicon and terms, as HTTP shows them."""

import dataclasses
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from bibleqa.data import terms
from bibleqa.data.corpora import english, records
from bibleqa.data.corpora.records import Strongs
from bibleqa.data.corpus import Corpus
from bibleqa.data.kjv import Verse, kjv
from bibleqa.data.reference import BOOKS
from bibleqa.errors import ConfigError
from bibleqa.serve.messages import VERSES, EntryOut, LexiconOut, TermOut, Terms, VerseOut, Verses, WordOut
from bibleqa.serve.problems import Problem

_WORDS = "kjv"
_LEXICONS = ("strongs", "tbesh", "tbesg")
_TEXTS = ("kjv", "tahot", "tagnt")
_TRANSLATIONS = [name for name in english.PACKAGES if name != "KJV"]


class Lookup:
    """What can be looked up; the corpus store may come later than the server."""

    def __init__(self, store: Path, numbers: Mapping[str, str]):
        """Look nothing up yet.

        Args:
            store: The corpus store.
            numbers: Strong's numbers of the critical terms, by name.
        """
        self._store = store
        self._numbers = numbers
        self._lock = threading.Lock()

    @cached_property
    def _corpus(self) -> Corpus:
        try:
            return Corpus(self._store)
        except ConfigError:
            raise Problem(503, "no_corpus", "there is no corpus store yet; build it: bibleqa data build") from None

    def verses(self, reference: str) -> Verses:
        """The verses of a reference.

        Raises:
            Problem: It is none.
        """
        try:
            found = kjv().passage(reference)
        except ConfigError as error:
            raise Problem(404, "no_such_passage", str(error)) from None
        return Verses(reference=reference, total=len(found), verses=[self._verse(verse) for verse in found[:VERSES]])

    def entry(self, number: str) -> LexiconOut:
        """A Strong's number.

        Raises:
            Problem: No dictionary has it, or there is no corpus store.
        """
        strongs = Strongs.parse(number.upper()).number
        found = [entry for source in _LEXICONS if (entry := self._corpus.entry(strongs, source))]
        if not found:
            raise Problem(404, "no_such_number", f"no dictionary of the corpus has {strongs}")
        counts = {source: len(self._corpus.occurrences(source, strongs)) for source in _TEXTS}
        return LexiconOut(
            strongs=strongs,
            entries=[EntryOut(**dataclasses.asdict(entry)) for entry in found],
            occurrences={source: count for source, count in counts.items() if count},
        )

    def terms(self) -> Terms:
        """The theological terms report; counted once.

        Raises:
            Problem: There is no corpus store, or no words are in it.
        """
        with self._lock:
            return self._terms

    @cached_property
    def _terms(self) -> Terms:
        try:
            counts = terms.count(self._corpus, self._numbers)
        except ConfigError as error:
            raise Problem(503, "no_corpus", str(error)) from None
        return Terms(terms=[_term(count) for count in counts])

    def _verse(self, verse: Verse) -> VerseOut:
        if not self._store.is_file():
            return VerseOut(reference=verse.reference, text=verse.text, translations={}, words=[])
        texts = {name: self._corpus.text(name, verse.id) for name in _TRANSLATIONS}
        return VerseOut(
            reference=verse.reference,
            text=verse.text,
            translations={name: text for name, text in texts.items() if text},
            words=[self._word(word) for word in self._corpus.words(_WORDS, verse.id) if word.strongs],
        )

    def _word(self, word: records.Word) -> WordOut:
        entry = self._corpus.entry(word.strongs)
        return WordOut(
            text=word.text,
            strongs=word.strongs,
            lemma=word.lemma or (entry.lemma if entry else ""),
            transliteration=word.transliteration or (entry.transliteration if entry else ""),
            gloss=word.gloss or (entry.gloss if entry else ""),
        )


def _term(count: terms.Count) -> TermOut:
    return TermOut(
        name=count.name,
        strongs=count.number,
        source=count.source,
        count=count.by_book.total(),
        minimum=count.minimum,
        missed=count.missed,
        by_book={BOOKS[book - 1].name: times for book, times in sorted(count.by_book.items())},
    )
