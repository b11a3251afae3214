"""How many, how old, how long: the answer is the number as the verse words it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse, context_of
from bibleqa.data.questions.craft import choose, select, window
from bibleqa.data.questions.names import NAME, proper_names
from bibleqa.data.questions.numerals import Numeral, accepted_forms, numerals

TYPE = "number"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.08, 1600

_N = r"(?P<n>[A-Za-z ]+?)"
_WHO = rf"(?P<who>{NAME})(?: the (?:king|son of {NAME}))?"
_AGE = re.compile(rf"\b{_WHO} was {_N} years? old(?:,? (?P<when>when [^.,;:?]+))?(?=[.,;:])")
_LIFE = re.compile(
    rf"\ball the days (?:of|that) {_WHO}(?: lived| that he lived)? were {_N} years: and he died", re.IGNORECASE
)
_BEGAT = re.compile(rf"\b{_WHO} lived {_N} years,? and begat (?P<child>{NAME})(?=[:.;,])")
_AFTER = re.compile(rf"\b{_WHO} lived after he begat (?P<child>{NAME}) {_N} years")
_REIGN = re.compile(
    rf"\b{_WHO} was [a-z ]+ years? old when he began to reign[,;:]? and (?:he )?reigned {_N} years? "
    rf"in (?P<where>{NAME})"
)
_BEGAN = re.compile(
    rf"\bbegan {_WHO} to reign over (?P<over>{NAME})(?: in {NAME})?,? and reigned {_N} years(?: in {NAME})?(?=[.,;:])"
)
_CLAN = re.compile(rf"^The (?P<clan>children|men) of (?P<who>{NAME}), {_N}\.$")

_UNITS = "talents|shekels|pieces|measures|loaves|baskets|pounds|cubits|pence|changes|firkins|yoke"
_NOT_ADJECTIVES = "of|and|that|in|to|which|for|from|with|on|shall|was|were|are|is|he|they|by|at|as|or|went|had|his|her"
_COUNTED = re.compile(
    rf" (?P<noun>(?:(?!(?:{_NOT_ADJECTIVES})\b)[a-z]+ )??"
    rf"(?:(?:{_UNITS}) of [a-z]+|men|women|children|brethren|oxen|sheep|kine|people|pence"
    r"|[a-z]{3,}(?<!ou)s))(?![\w’-])"
)
# A fraction, a number for each of several, an age: "how many are there" would be answered wrongly or oddly.
_NOT_A_TOTAL = re.compile(r"\b(?:half|each|every|apiece|years? old)\b")
_NOT_NOUNS = frozenset(
    {"times", "parts", "thousands", "hundreds", "as", "was", "his", "this", "is", "thus", "has", "does", "us",
     "yes", "ways", "things", "days’", "corners", "sides", "ends"}
)  # fmt: skip
_MEASURED = frozenset(
    {"years", "months", "weeks", "days", "hours", "nights", "cubits", "furlongs", "fathoms", "generations"}
)  # fmt: skip
_COUNT_WORDINGS = (
    "How many {noun} does {ref} mention?",
    "How many {noun} are spoken of in {ref}?",
    "What number of {noun} is given in {ref}?",
    "How many {noun} are there in {ref}?",
)


@dataclass(frozen=True)
class Measure:
    """Something that a verse gives a number for.

    Attributes:
        kind: `age`, `life`, `begat`, `after`, `reign`, `clan` or `count`.
        who: Whose age, years or number it is; empty for `count`.
        child: The child of `begat` and `after`.
        asked: The questions that it answers, `{ref}` standing for the reference.
    """

    verse: Verse
    kind: str
    who: str
    numeral: Numeral
    asked: tuple[str, ...]
    child: str = ""


@lru_cache(maxsize=40_000)  # several families ask it of every verse
def measures(bible: Bible, verse: Verse) -> list[Measure]:
    """What the verse gives numbers for."""
    found = list(_of_persons(bible, verse))
    return found or list(_counts(verse))


def questions(bible: Bible) -> Iterator[Item]:
    """How many, how old and how long, at most one question of each number."""
    return iter(select((_item(bible, m) for v in bible.verses for m in measures(bible, v)), _SHARE, _LIMIT))


def _item(bible: Bible, measure: Measure) -> Item:
    verse = measure.verse
    key = f"{TYPE}:{verse.id}:{measure.kind}"
    return Item(
        id=key,
        context=context_of(window(bible, verse, key)),
        question=choose(key, measure.asked).format(ref=verse.reference),
        answer=measure.numeral.words.lower(),
        type=TYPE,
        reference=verse.reference,
        variants=accepted_forms(measure.numeral),
    )


def _of_persons(bible: Bible, verse: Verse) -> Iterator[Measure]:
    for kind, pattern in _PATTERNS.items():
        matches = list(pattern.finditer(verse.text))
        if len(matches) != 1 or matches[0]["who"] not in proper_names(bible):
            continue
        match = matches[0]
        exact = [n for n in numerals(verse.text) if (n.start, n.end) == match.span("n") and n.value is not None]
        if exact:
            child = match.groupdict().get("child", "")
            who = f"the {match['clan']} of {match['who']}" if kind == "clan" else match["who"]
            yield Measure(verse, kind, who, exact[0], _wordings(kind, match), child)


_PATTERNS = {
    "age": _AGE,
    "life": _LIFE,
    "begat": _BEGAT,
    "after": _AFTER,
    "reign": _REIGN,
    "began": _BEGAN,
    "clan": _CLAN,
}


def _wordings(kind: str, match: re.Match[str]) -> tuple[str, ...]:
    who = match["who"]
    if kind == "age":
        when = match["when"]
        if when and not re.search(r"\b(?:she|they|them)\b", when):
            return (
                f"How old was {who} {when}?",
                f"According to {{ref}}, how old was {who} {when}?",
            )
        return (f"How old was {who} in {{ref}}?", f"What age is given for {who} in {{ref}}?")
    if kind == "life":
        return (
            f"How many years did {who} live, according to {{ref}}?",
            f"How old was {who} when he died, according to {{ref}}?",
        )
    if kind == "begat":
        child = match["child"]
        return (
            f"How old was {who} when he begat {child}?",
            f"How many years had {who} lived when he begat {child}?",
        )
    if kind == "after":
        child = match["child"]
        return (
            f"How many years did {who} live after he begat {child}?",
            f"According to {{ref}}, how long did {who} live after he begat {child}, in years?",
        )
    if kind == "reign":
        return (
            f"How many years did {who} reign in {match['where']}?",
            f"According to {{ref}}, how many years did {who} reign?",
        )
    if kind == "began":
        return (
            f"How many years did {who} reign over {match['over']}, according to {{ref}}?",
            f"In {{ref}}, how many years does {who} reign?",
        )
    return (
        f"How many were the {match['clan']} of {who}, according to {{ref}}?",
        f"What number does {{ref}} give for the {match['clan']} of {who}?",
    )


def _counts(verse: Verse) -> Iterator[Measure]:
    found = numerals(verse.text)
    if len(found) != 1 or found[0].value in (None, 1) or found[0].words.lower() in ("hundred", "thousand"):
        return
    match = _COUNTED.match(verse.text, found[0].end)
    if not match or match["noun"].split()[-1] in _NOT_NOUNS or _NOT_A_TOTAL.search(verse.text):
        return
    head = match["noun"].split(" of ")[0].split()[-1]
    if len(re.findall(rf"\b{head}\b", verse.text)) == 1:
        wordings = _COUNT_WORDINGS[:-1] if head in _MEASURED else _COUNT_WORDINGS
        asked = tuple(w.replace("{noun}", match["noun"]) for w in wordings)
        yield Measure(verse, "count", "", found[0], asked)
