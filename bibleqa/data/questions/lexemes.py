"""Hebrew and Greek words as questions speak of them, and the English words that they surely stand behind."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, takewhile

from bibleqa.data.corpora.records import LexiconEntry, Word
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Verse
from bibleqa.data.notes import has_content
from bibleqa.data.questions.craft import digest
from bibleqa.text import words

_QUOTES = re.compile("['’ʼ‛`]")
# What Strong lists among the renderings that is no rendering by itself: `+ fail`, `X great`, `([shew-]) bread`.
_RENDERING = re.compile(r"[A-Za-z]+(?: [A-Za-z]+){0,2}")
_LEAD = re.compile(r"^(?:be|to|a|an|the) ")
_STEM_LETTERS = 4
# Fewer words leave nothing to tell apart; more, or a longer verse, make a long context.
_NOTED = range(3, 17)
_LETTERS = 220


@dataclass(frozen=True)
class Tag:
    """An English word or phrase of a verse, and the one original word behind it.

    Attributes:
        english: Without small words around it: `gave` of `he gave`.
        group: As it is tagged: `he gave`.
    """

    english: str
    group: str
    entry: LexiconEntry


@lru_cache(maxsize=1)
def dictionary(corpus: Corpus) -> Mapping[str, LexiconEntry]:
    """Strong's entries by number, without the numbers that he did not use."""
    return {entry.strongs: entry for entry in corpus.entries() if entry.lemma}


def language(entry: LexiconEntry) -> str:
    """`Hebrew`, `Aramaic` (which Strong calls Chaldee) or `Greek`."""
    if entry.strongs[0] == "G":
        return "Greek"
    return "Aramaic" if entry.definition.startswith("(Chaldee") else "Hebrew"


def padded(number: str) -> str:
    """The number as concordances pad it: `H0430`."""
    return f"{number[0]}{number[1:]:0>4}"


def number_forms(entry: LexiconEntry) -> tuple[str, ...]:
    """What answers a question for the number, the number aside; the bare one where a verse would not hold it."""
    bare = entry.strongs[1:]
    return tuple(form for form in (padded(entry.strongs), bare) if form != entry.strongs and len(form) > 2)


def word_forms(entry: LexiconEntry) -> tuple[str, ...]:
    """What answers a question for the word, its transliteration aside: simpler spellings, its letters, its number."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", entry.transliteration) if not unicodedata.combining(c))
    plain = _QUOTES.sub("", plain)
    simple = plain.replace("iy", "i") if entry.strongs[0] == "H" else plain
    forms = dict.fromkeys((plain, simple, entry.lemma, entry.strongs, padded(entry.strongs)))
    return tuple(form for form in forms if form and form != entry.transliteration)


def renderings(entry: LexiconEntry) -> tuple[str, ...]:
    """How the King James Version renders the word, as far as the dictionary writes a rendering out in full."""
    outside = re.split(r",(?![^(\[]*[)\]])", entry.kjv)
    whole = (re.sub(r" ?[(\[][^()\[\]]*[)\]]$", "", part.strip()) for part in outside)
    plain = (_LEAD.sub("", part) for part in whole if _RENDERING.fullmatch(part))
    return tuple(dict.fromkeys(part for part in plain if part != "X" and has_content(part)))


def sound_apart(entries: Iterable[LexiconEntry]) -> bool:
    """Whether no two of the words are written the same in Latin letters, as `'îy` (H337, H339) is."""
    sounds = [words(entry.transliteration) for entry in entries]
    return len(set(sounds)) == len(sounds)


def is_name(entry: LexiconEntry) -> bool:
    """Whether it is a name of a person, a people or a place, or a word that is rendered like one."""
    return any(part[:1].isupper() for part in (entry.gloss, *renderings(entry)))


def alike(one: str, other: str, ending: int = 3) -> bool:
    """Whether two words can be forms of one: `believed`, `believeth`.

    Args:
        one: A word.
        other: Another.
        ending: Letters after what they share that either may have; with three, `offering` is no form of `offence`.
    """
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    longest = max(len(one), len(other)) - shared
    return shared >= min(_STEM_LETTERS, len(one), len(other)) and longest <= ending


def renders(english: str, entry: LexiconEntry) -> bool:
    """Whether the dictionary has an English phrase as a whole rendering or as the meaning, small words aside.

    A part of one does not do: Strong has `be in right mind` of a Greek word, the tag stands on `mind` alone.
    """
    asked = _content(english)
    return bool(asked) and any(
        len(asked) == len(known) and all(map(alike, asked, known)) for known in _whole_meanings(entry)
    )


@lru_cache(maxsize=20_000)
def _whole_meanings(entry: LexiconEntry) -> frozenset[tuple[str, ...]]:
    """The content words of the meaning and of every rendering, with what is in its brackets and without.

    A list in brackets completes the word before it (`sin(-ner, offering)`), so its members are no renderings.
    """
    without = re.sub(r"\([^()]*\)", " ", re.sub(r"\[[^\[\]]*\]", " ", entry.kjv))
    within = re.sub(r"[(\[]([^()\[\],]*)[)\]]", r"\1", entry.kjv).replace("- ", "")
    within = re.sub(r"\([^()]*\)", " ", within)
    return frozenset(filter(None, map(_content, (entry.gloss, *without.split(","), *within.split(",")))))


def _content(phrase: str) -> tuple[str, ...]:
    return tuple(word for word in words(phrase) if has_content(word))


def tagged_verses(corpus: Corpus) -> Iterator[tuple[Verse, list[Word]]]:
    """The verses with the tagged words of each; titles of psalms, which are no verses of the text, are left out."""
    for verse, found in groupby(corpus.all_words("kjv"), key=lambda word: word.verse):
        if verse % 1000:
            yield corpus.bible[verse], list(found)


def is_compact(verse: Verse, tagged: list[Word]) -> bool:
    """Whether a verse and its notes are a short context with several words to tell apart."""
    return len(verse.text) <= _LETTERS and len({w.position for w in tagged if has_content(w.text)}) in _NOTED


def clear_tags(corpus: Corpus, verse: Verse, tagged: list[Word]) -> list[Tag]:
    """The words of a verse about which there is no doubt.

    The English stands once in the verse, its number too, no other number is behind it, no other word of the verse
    sounds the same, and the dictionary has the English as a rendering, so that no tag is taken that slipped to a
    neighbour's word.
    """
    row = words(verse.text)
    numbers = [word.strongs for word in tagged]
    positions = [word.position for word in tagged]
    entries = dictionary(corpus)
    sounds = Counter(words(entries[n].transliteration) for n in set(numbers) if n in entries)
    found = []
    for word in tagged:
        entry = entries.get(word.strongs)
        if not entry or sounds[words(entry.transliteration)] > 1:
            continue
        if numbers.count(word.strongs) > 1 or positions.count(word.position) > 1:
            continue
        english = _core(word.text)
        phrase = words(english)
        times = sum(row[i : i + len(phrase)] == phrase for i in range(len(row)))
        if phrase and times == 1 and renders(english, entry):
            found.append(Tag(english, word.text, entry))
    return found


def few_of_each(items: Iterable[Item], most: int) -> list[Item]:
    """At most so many items of each Strong's number, chosen by a digest of their ids; the order stays.

    Another digest than that of `select`, which would else prefer the items of common words: the lowest of many.
    """
    candidates = list(items)
    taken: set[str] = set()
    count: dict[str, int] = {}
    for item in sorted(candidates, key=lambda item: digest(f"few:{item.id}")):
        count[item.strongs_id] = count.get(item.strongs_id, 0) + 1
        if count[item.strongs_id] <= most:
            taken.add(item.id)
    return [item for item in candidates if item.id in taken]


def slug(phrase: str) -> str:
    """A phrase as a part of an id: `most-high`."""
    return "-".join(words(phrase))


def _core(group: str) -> str:
    """A tagged group without small words at its ends; empty if nothing else is in it."""
    row = group.strip(" ,.;:!?()").split(" ")
    while row and not has_content(row[0]):
        row.pop(0)
    while row and not has_content(row[-1]):
        row.pop()
    return " ".join(row).strip(" ,.;:!?()").removesuffix("’s").removesuffix("’")
