"""Which Hebrew word is behind a Greek one, and under which name the other Testament has it.

Only where Strong's Greek dictionary says of a word that it is "of Hebrew origin" or "of Chaldee origin" and gives one
number, without "probably" (Debian package `sword-dict-strongs-greek`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bibleqa.data.corpora.records import LexiconEntry
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import bucket, choose, digest, select
from bibleqa.data.questions.lexemes import dictionary, language, number_forms, renderings, word_forms
from bibleqa.text import words

TYPE = "cross_language"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.01, 1200
_DISTRACTORS = 2
_ORIGIN = re.compile(r"of (?:Hebrew|Chaldee) origin \((H\d+)\)")
# A misprint: H1036 is Beth-leaphrah, Bethlehem is H1035.
_MISPRINTED = frozenset({"G965"})

Question = tuple[str, tuple[str, ...], str, tuple[str, ...]]
"""Its kind, its wordings, the answer and variants."""


@dataclass(frozen=True)
class Pair:
    """A Greek word and the Hebrew or Aramaic one that it comes from."""

    greek: LexiconEntry
    hebrew: LexiconEntry


def pairs(corpus: Corpus) -> list[Pair]:
    """Every pair that the dictionary is sure of, by Greek number."""
    entries = dictionary(corpus)
    found = ((entry, _ORIGIN.match(entry.definition)) for entry in entries.values() if entry.strongs[0] == "G")
    return [
        Pair(entry, entries[match[1]])
        for entry, match in found
        if match and match[1] in entries and entry.strongs not in _MISPRINTED
    ]


def questions(corpus: Corpus) -> Iterator[Item]:
    """Up to five questions of each pair, every one beside two other pairs."""
    return iter(select(_candidates(pairs(corpus)), _SHARE, _LIMIT))


def _candidates(found: list[Pair]) -> Iterator[Item]:
    uses = Counter(pair.hebrew.strongs for pair in found)
    for pair in found:
        for kind, wordings, answer, variants in _asked(pair, only=uses[pair.hebrew.strongs] == 1):
            key = f"{TYPE}:{pair.greek.strongs}:{kind}"
            yield Item(
                id=key,
                context=_context(pair, found, key),
                question=choose(f"wording:{key}", wordings),
                answer=answer,
                type=TYPE,
                strongs_id=pair.hebrew.strongs,
                variants=variants,
            )


def _asked(pair: Pair, only: bool) -> Iterator[Question]:
    """The questions of a pair; those for the Greek word only where the Hebrew one has no other."""
    greek, hebrew, tongue = pair.greek, pair.hebrew, language(pair.hebrew)
    from_greek = f"the Greek {greek.transliteration} ({greek.strongs})"
    from_hebrew = f"the {tongue} {hebrew.transliteration} ({hebrew.strongs})"
    origin = (
        f"Which {tongue} word is behind {from_greek}?",
        f"From which {tongue} word does {from_greek} come?",
        f"What is the {tongue} origin of {from_greek}?",
    )
    yield "origin", origin, hebrew.transliteration, word_forms(hebrew)
    number = (
        f"Which Strong's number has the {tongue} word behind {from_greek}?",
        f"What is the Strong's number of the {tongue} word that {from_greek} comes from?",
    )
    yield "number", number, hebrew.strongs, number_forms(hebrew)
    derived = (
        f"Which Greek word comes from {from_hebrew}?",
        f"Which Greek word was made from {from_hebrew}?",
        f"Which Greek word has its origin in {from_hebrew}?",
    )
    if only:
        yield "derived", derived, greek.transliteration, word_forms(greek)
    new, old = renderings(greek), renderings(hebrew)
    same = {words(name) for name in new} & {words(name) for name in old}
    if len(new) == len(old) == 1 and not same and new[0].istitle() and old[0].istitle():
        to_old = (
            f"The New Testament's {new[0]}: how does the Old Testament of the KJV write the name?",
            f"Which name does the KJV's Old Testament have for the {new[0]} of the New Testament?",
        )
        yield "old-name", to_old, old[0], ()
        to_new = (
            f"The Old Testament's {old[0]}: how does the New Testament of the KJV write the name?",
            f"Which name does the KJV's New Testament have for the {old[0]} of the Old Testament?",
        )
        if only:
            yield "new-name", to_new, new[0], ()


def _context(pair: Pair, found: list[Pair], key: str) -> str:
    """The Greek entries, then the Hebrew ones, each in an order of its own, so that only the numbers connect them."""
    part = bucket(pair.hebrew.strongs)
    near = (p for p in found if bucket(p.hebrew.strongs) == part)
    apart = (p for p in near if p.hebrew is not pair.hebrew and not _confusable(p, pair))
    shown = [pair, *sorted(apart, key=lambda p: digest(f"{key}:{p.greek.strongs}"))[:_DISTRACTORS]]
    greek = sorted(shown, key=lambda p: digest(f"{key}:greek:{p.greek.strongs}"))
    hebrew = sorted({p.hebrew.strongs: p.hebrew for p in shown}.values(), key=lambda e: digest(f"{key}:{e.strongs}"))
    return "\n".join(
        [
            *(f"{_line(p.greek)}, from {language(p.hebrew)} {p.hebrew.strongs}" for p in greek),
            *(_line(entry) for entry in hebrew),
        ]
    )


def _confusable(one: Pair, other: Pair) -> bool:
    """Whether two pairs have a name in common, as John and Johanan have."""
    names = [{words(name) for entry in (p.greek, p.hebrew) for name in renderings(entry)} for p in (one, other)]
    return bool(names[0] & names[1])


def _line(entry: LexiconEntry) -> str:
    """`G2268 Hēsaḯas, KJV Esaias`."""
    rendered = renderings(entry)[:3]
    return f"{entry.strongs} {entry.transliteration}" + (f", KJV {' / '.join(rendered)}" if rendered else "")
