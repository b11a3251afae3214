"""What a Hebrew or Greek word means, and which word has a meaning, from Strong's dictionaries.

Meanings and renderings are those of Strong's Hebrew and Greek dictionaries (1890; Debian packages
`sword-dict-strongs-hebrew`, `sword-dict-strongs-greek`).
"""

import re
from collections.abc import Iterator
from itertools import groupby

from bibleqa.data.corpora.records import LexiconEntry
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.notes import has_content
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.questions.lexemes import (
    alike,
    dictionary,
    is_name,
    language,
    number_forms,
    renderings,
    sound_apart,
    word_forms,
)
from bibleqa.text import words

TYPE = "lexicon_meaning"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.01, 1500
# Each entry stands in one context only, so that no split shows what another one asks.
_ENTRIES = 4
_GLOSS = re.compile(r"(?!he |she |it )[a-z]+(?:[ -][a-z]+){0,2}")
_RENDERINGS = 4
_ANY = 99
_LEAD = frozenset({"be", "to"})


def questions(corpus: Corpus) -> Iterator[Item]:
    """A question of each four neighbours in the dictionary, about one whose meaning is as the KJV renders it."""
    return iter(select(_candidates(corpus), _SHARE, _LIMIT))


def _candidates(corpus: Corpus) -> Iterator[Item]:
    counts = corpus.counts("kjv")
    fit = [e for e in dictionary(corpus).values() if counts[e.strongs] and _is_fit(e)]
    for _, found in groupby(fit, key=lambda entry: entry.strongs[0]):
        entries = list(found)
        for start in range(0, len(entries) - _ENTRIES + 1, _ENTRIES):
            yield from _item(entries[start : start + _ENTRIES])


def _item(entries: list[LexiconEntry]) -> Iterator[Item]:
    """A question about one of the entries, if one is plain enough."""
    plain = [entry for entry in entries if _is_plain(entry, entries)]
    if not plain or not sound_apart(entries):
        return
    entry = min(plain, key=lambda entry: digest(f"{TYPE}:{entry.strongs}"))
    key = f"{TYPE}:{entry.strongs}"
    question, answer, variants = _asked(entry, entries, key)
    yield Item(
        id=key,
        context="\n".join(_line(e) for e in sorted(entries, key=lambda e: digest(f"{key}:{e.strongs}"))),
        question=question,
        answer=answer,
        type=TYPE,
        strongs_id=entry.strongs,
        variants=variants,
    )


def _asked(entry: LexiconEntry, entries: list[LexiconEntry], key: str) -> tuple[str, str, tuple[str, ...]]:
    tongue, meaning, sound = language(entry), f"“{entry.gloss}”", entry.transliteration
    others = [other for other in entries if other is not entry]
    name = choose(f"name:{key}", (entry.strongs, f"{tongue} {sound}", f"{tongue} {sound} ({entry.strongs})"))
    also = (r for r in renderings(entry) if r != entry.gloss and not any(_shares(r, other) for other in others))
    by_meaning = (
        (
            f"What does {name} mean?",
            f"What is the meaning of {name}?",
            f"How would you translate {name}?",
        ),
        entry.gloss,
        tuple(also),
    )
    by_word = (
        (
            f"Which {tongue} word means {meaning}?",
            f"What is the {tongue} word for {meaning}?",
            f"How does one say {meaning} in {tongue}?",
        ),
        sound,
        word_forms(entry),
    )
    by_number = (
        (
            f"Which Strong's number has the {tongue} word for {meaning}?",
            f"What is the Strong's number of the word that means {meaning}?",
        ),
        entry.strongs,
        number_forms(entry),
    )
    wordings, answer, variants = choose(f"kind:{key}", (by_meaning, by_meaning, by_word, by_number))
    return choose(f"wording:{key}", wordings), answer, variants


def _is_fit(entry: LexiconEntry) -> bool:
    """Whether its meaning is said in English words; names and words like `talitha` only stand for themselves."""
    said = _GLOSS.fullmatch(entry.gloss) and has_content(entry.gloss) and entry.gloss not in word_forms(entry)
    return bool(said and renderings(entry)) and not is_name(entry)


def _is_plain(entry: LexiconEntry, entries: list[LexiconEntry]) -> bool:
    """Whether the dictionary's meaning is one that the KJV has too, and no word beside it means the like."""
    known = words(" ".join(renderings(entry)))
    said = [word for word in words(entry.gloss) if word not in _LEAD]
    agreed = all(any(alike(word, other) for other in known) for word in said)
    return agreed and not any(_shares(entry.gloss, other) for other in entries if other is not entry)


def _shares(meaning: str, entry: LexiconEntry) -> bool:
    """Whether the line of an entry has a word that may be of the same stem as one of the meaning."""
    line = words(" ".join((entry.gloss, *renderings(entry))))
    said = [word for word in words(meaning) if has_content(word)]
    return any(alike(word, other, ending=_ANY) for word in said for other in line)


def _line(entry: LexiconEntry) -> str:
    """`H3420 yêrâqôn: paleness; KJV: mildew`."""
    rendered = [r for r in renderings(entry) if r != entry.gloss][:_RENDERINGS]
    return f"{entry.strongs} {entry.transliteration}: {entry.gloss}" + (
        f"; KJV: {', '.join(rendered)}" if rendered else ""
    )
