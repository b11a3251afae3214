"""The original words behind verses: those worth showing, and those that a question asks for."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence

from bibleqa import text
from bibleqa.data.corpora import records
from bibleqa.data.corpora.records import LexiconEntry
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Turn
from bibleqa.data.kjv import Verse
from bibleqa.data.notes import has_content, notes
from bibleqa.data.questions.theological_term import TERMS
from bibleqa.serve.answer import Word

_NAMES = {number: term.name for number, term in TERMS.items()}
_DICTIONARIES = ("strongs", "tbesh", "tbesg")
_NOTED = 5
"""Verses whose words are written out in a prompt."""

_IN_QUOTES = re.compile(r"(?<!\w)[“\"'‘]([^“”\"]+?)[”\"'’](?!\w)")
_THE_WORD = r"(?:the )?(?:(?:english )?word )?"
_END = r"(?:\s+(?:here|there|mean|in)\b.*)?[?.!\s]*$"
_OF_A_WORD = (
    re.compile(rf"\bwhat (?:does|do|did) {_THE_WORD}(?P<word>.+?) mean\b", re.IGNORECASE),
    re.compile(rf"\bmeaning of {_THE_WORD}(?P<word>.+?){_END}", re.IGNORECASE),
    re.compile(
        rf"\b(?:hebrew|greek|aramaic|original)\b.*? (?:behind|for|of|translated(?: as)?) "
        rf"{_THE_WORD}(?P<word>.+?){_END}",
        re.IGNORECASE,
    ),
    re.compile(rf"\bstrong[’']?s[’']? numbers? .*?(?:behind|for|of) {_THE_WORD}(?P<word>.+?){_END}", re.IGNORECASE),
)
_OF_WORDS = re.compile(
    r"\bmean(?:s|ing)?\b|\b(?:hebrew|greek|aramaic|original) (?:word|term|language)|\bstrong[’']?s\b"
    r"|\bin (?:the )?(?:hebrew|greek|aramaic|original)\b",
    re.IGNORECASE,
)

_OF_THE_SAME = re.compile(r"\b(?:its|(?:that|this|the same) (?:hebrew |greek |original )?word)\b", re.IGNORECASE)


def is_of_words(question: str) -> bool:
    """Whether a question is about a word itself: what it means, or what stands behind it."""
    return bool(_OF_WORDS.search(question))


class Lexicon:
    """The tagged words and dictionaries of a corpus store. Safe from many threads."""

    def __init__(self, corpus: Corpus):
        """Read from a store; one without tagged words has nothing to tell."""
        self._corpus = corpus
        self._lock = threading.Lock()
        self.has_words = any(name.startswith(("sword/kjv", "stepbible/ta")) for name in corpus.sources)

    def words(self, verse: Verse, about: str) -> tuple[Word, ...]:
        """Of the words of a verse those that a text mentions, and the critical terms of theology.

        Args:
            verse: The verse.
            about: Question and answer.
        """
        mentioned = {word for word in text.words(about) if has_content(word)}
        found = (
            word
            for word in self._tagged(verse)
            if word.strongs in TERMS or not mentioned.isdisjoint(text.words(_rendering(word)))
        )
        return tuple(dict.fromkeys(self._word(word) for word in found))

    def asked(self, question: str, verses: Sequence[Verse], history: Sequence[Turn] = ()) -> Word | None:
        """The one original word that a question asks for; None where it asks for none, or there are several.

        It is that of the first verse in which the English word stands. "Its number" is that of the word that the
        question before was about.
        """
        english = _asked_word(question)
        if not english and history and is_of_words(question) and _OF_THE_SAME.search(question):
            english = _asked_word(history[-1].question)
        if not english:
            return None
        for verse in verses:
            tagged = list(self._tagged(verse))
            if within := _closest(english, tagged):
                found = {word.strongs for word in within}
                return self._word(within[0]) if len(found) == 1 else None
        return None

    def notes(self, verses: Sequence[Verse]) -> str:
        """The words of verses as a prompt has them; see `bibleqa.data.notes`."""
        with self._lock:
            tagged = [verse.id for verse in verses[:_NOTED] if self._corpus.words("kjv", verse.id)]
            return notes(self._corpus, tagged, _NAMES)

    def _tagged(self, verse: Verse) -> Iterator[records.Word]:
        """Its words with a number and an English rendering that says something."""
        with self._lock:
            sources = ("kjv", "tahot" if verse.old_testament else "tagnt")
            tagged = next((words for source in sources if (words := self._corpus.words(source, verse.id))), [])
        yield from (word for word in tagged if word.strongs and has_content(_rendering(word)))

    def _word(self, word: records.Word) -> Word:
        entry = self._entry(word.strongs)
        return Word(
            text=_rendering(word),
            strongs=word.strongs,
            lemma=entry.lemma if entry else word.lemma,
            transliteration=_NAMES.get(word.strongs) or (entry.transliteration if entry else word.transliteration),
            gloss=entry.gloss if entry else word.gloss,
        )

    def _entry(self, number: str) -> LexiconEntry | None:
        with self._lock:
            entries = (self._corpus.entry(number, dictionary) for dictionary in _DICTIONARIES)
            return next((entry for entry in entries if entry), None)


def answer_of(word: Word) -> str:
    """A word as an answer: `Elohim (H430)`; with its gloss where the translation does not say it already."""
    said = f"{word.transliteration or word.lemma} ({word.strongs})"
    return said if not word.gloss or text.contains(word.text, word.gloss) else f"{said}, “{word.gloss}”"


def _rendering(word: records.Word) -> str:
    """The English of a word."""
    return word.text if word.source == "kjv" else word.gloss


def _closest(english: str, tagged: list[records.Word]) -> list[records.Word]:
    """The words that an English one renders: letter by letter (`LORD` is not `Lord`), or else in any case or phrase."""
    ways: tuple[Callable[[str], bool], ...] = (
        lambda rendering: rendering == english,
        lambda rendering: text.words(rendering) == text.words(english),
        lambda rendering: text.contains(rendering, english),
    )
    found = ([word for word in tagged if way(_rendering(word))] for way in ways)
    return next((words for words in found if words), [])


def _asked_word(question: str) -> str | None:
    """The English word that a question is about."""
    if not is_of_words(question):
        return None
    if quoted := _IN_QUOTES.search(question):
        return quoted[1] if has_content(quoted[1]) else None
    found = next((match["word"] for pattern in _OF_A_WORD if (match := pattern.search(question))), None)
    return found if found and has_content(found) else None
