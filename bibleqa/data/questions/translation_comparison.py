"""One verse in the King James, World English and American Standard Versions: what the one has for a word of the other.

Only verses in which two of them differ by exactly one word are taken, spelling and grammar apart: there the one word
surely stands for the other.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Verse
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.questions.small_words import SMALL

TYPE = "translation_comparison"
OPEN_BOOK = True

TRANSLATIONS = {
    "KJV": ("King James Version", "King James Bible"),
    "WEB": ("World English Bible",),
    "ASV": ("American Standard Version",),
}
"""The translations that are compared, by their names in the store, with the names that people give them."""

_SHARE, _LIMIT = 0.02, 1500
_MOST_OF_A_PAIR = 8
_LONGEST = 720
_VERSE_WORDS = range(6, 50)

_WORD = re.compile(r"[A-Za-zæ]+(?:[’'-][A-Za-z]+)*")
# What one word is in the other's spelling or grammar; two words that are the same here are not a difference.
_SAME = {
    "art": "are", "bare": "bore", "begat": "begot", "brake": "broke", "brethren": "brothers", "builded": "built",
    "cherubims": "cherubim", "clave": "split", "cleft": "split", "digged": "dug", "didst": "did", "doest": "do",
    "doth": "do", "does": "do", "drave": "drove", "gat": "got", "hast": "have", "hath": "have", "has": "have",
    "holpen": "helped", "jehovah": "lord", "yahweh": "lord", "mine": "my", "nought": "naught", "oft": "often",
    "saith": "say", "says": "say", "shalt": "will", "shall": "will", "should": "would", "shew": "show",
    "shewed": "showed", "sith": "since", "spake": "spoke", "sware": "swore", "thee": "you", "thine": "your",
    "thou": "you", "thy": "your", "thyself": "yourself", "till": "until", "unto": "to", "upon": "on",
    "wast": "were", "wert": "were", "wilt": "will", "which": "that", "who": "that", "ye": "you", "yea": "yes",
    "goest": "go", "goeth": "go", "goes": "go", "an": "a", "oh": "o", "plough": "plow", "enquire": "inquire",
    "waggons": "wagons", "ancle": "ankle", "aught": "anything", "stedfast": "steadfast",
}  # fmt: skip
_ENDING = re.compile(r"(?:eth|est|es|ed|e|s)$")
_BY_WORD = (
    "Which word does the {other} use in {ref} where the {one} has “{word}”?",
    "In {ref}, what does the {other} have for the {one}’s “{word}”?",
    "The {one} has “{word}” in {ref}. What does the {other} have instead?",
    "What stands in the {other} of {ref} for “{word}” in the {one}?",
)
_BY_BOTH = (
    "In {ref}, which word do the {other} share where the {one} has “{word}”?",
    "For “{word}” in the {one} of {ref}, what do both the {other} have?",
)
_BY_TRANSLATION = (
    "Which translation of {ref} has the word “{word}”?",
    "Only one of the three translations of {ref} has “{word}”. Which one?",
    "In {ref}, which of the translations says “{word}”?",
)


@dataclass(frozen=True)
class Difference:
    """The one word that two translations of a verse have differently."""

    one: str
    """The translation that has `word`."""
    other: str
    """The translation that has `instead`."""
    word: str
    instead: str


def difference(one: str, one_text: str, other: str, other_text: str) -> Difference | None:
    """The difference of two translations of a verse, if there is but one and it is word for word.

    Args:
        one: Name of the first translation.
        one_text: The verse in it.
        other: Name of the second.
        other_text: The verse in that.
    """
    row, other_row = _WORD.findall(one_text), _WORD.findall(other_text)
    if len(row) not in _VERSE_WORDS or len(other_row) not in _VERSE_WORDS:
        return None
    plain, other_plain = [_plain(word) for word in row], [_plain(word) for word in other_row]
    matcher = SequenceMatcher(None, plain, other_plain, autojunk=False)
    changes = [change for change in matcher.get_opcodes() if change[0] != "equal"]
    if len(changes) != 1:
        return None
    _, start, end, other_start, other_end = changes[0]
    if (end - start, other_end - other_start) != (1, 1):
        return None
    word, instead = row[start], other_row[other_start]
    if not (_is_content(word) and _is_content(instead)) or _alike(word, instead):
        return None
    if plain.count(plain[start]) > 1 or other_plain.count(other_plain[other_start]) > 1:
        return None
    return Difference(one, other, word, instead)


def questions(corpus: Corpus) -> Iterator[Item]:
    """What one translation has for a word of another, and which of the three has a word."""
    return iter(select(_few_of_a_pair(_candidates(corpus)), _SHARE, _LIMIT))


def _candidates(corpus: Corpus) -> Iterator[tuple[frozenset[str], Item]]:
    for verse in corpus.bible.verses:
        texts = {name: corpus.text(name, verse.id) for name in TRANSLATIONS}
        found = {name: text for name, text in texts.items() if text}
        if len(found) < len(TRANSLATIONS) or sum(map(len, found.values())) > _LONGEST:
            continue
        differences = [
            d for a, b in combinations(TRANSLATIONS, 2) if (d := difference(a, found[a], b, found[b])) is not None
        ]
        if differences:
            chosen = choose(f"{TYPE}:pair:{verse.id}", differences)
            yield (
                frozenset((_plain(chosen.word), _plain(chosen.instead))),
                _item(verse, found, chosen, differences),
            )


def _few_of_a_pair(candidates: Iterator[tuple[frozenset[str], Item]]) -> Iterator[Item]:
    """Not more than some with the same two words, whichever is asked for."""
    rows = list(candidates)
    taken: Counter[frozenset[str]] = Counter()
    kept = set()
    for pair, item in sorted(rows, key=lambda row: digest(row[1].id)):
        taken[pair] += 1
        if taken[pair] <= _MOST_OF_A_PAIR:
            kept.add(item.id)
    return (item for _, item in rows if item.id in kept)


def _item(verse: Verse, texts: dict[str, str], found: Difference, differences: list[Difference]) -> Item:
    key = f"{TYPE}:{verse.id}"
    if choose(f"side:{key}", (True, False)):
        found = Difference(found.other, found.one, found.instead, found.word)
    (third,) = TRANSLATIONS.keys() - {found.one, found.other}
    names = sorted(texts, key=lambda name: digest(f"order:{key}:{name}"))
    asked: tuple[str, ...] = _BY_WORD
    answer = found.instead
    variants: tuple[str, ...] = ()
    others = found.other
    # The third has the word too if it differs from the first just so.
    if any({d.one, d.other} == {found.one, third} and found.instead in (d.word, d.instead) for d in differences):
        asked, others = _BY_BOTH, " and ".join(name for name in TRANSLATIONS if name != found.one)
    elif not _has(texts[third], found.word) and choose(f"kind:{key}", (True, False, False)):
        asked, answer, variants = _BY_TRANSLATION, found.one, TRANSLATIONS[found.one]
    return Item(
        id=key,
        context="\n".join(f"[{verse.reference}, {name}] {texts[name]}" for name in names),
        question=choose(f"wording:{key}", asked).format(
            one=found.one, other=others, ref=verse.reference, word=found.word
        ),
        answer=answer,
        type=TYPE,
        reference=verse.reference,
        variants=variants,
    )


def _plain(word: str) -> str:
    """A word without what is spelling or grammar of its time."""
    word = word.lower().replace("’", "'").replace("-", "").removesuffix("'s")
    word = _SAME.get(word, word).replace("our", "or")
    return _ENDING.sub("", word) if len(word) > 4 else word


def _is_content(word: str) -> bool:
    return len(word) > 2 and word[1:].islower() and word.isalpha() and word.lower() not in SMALL


def _alike(one: str, other: str) -> bool:
    """Whether two words may be forms or spellings of the same; names are spelled more freely (Kenan, Cainan)."""
    enough = 0.5 if one[0].isupper() and other[0].isupper() else 0.7
    one, other = one.lower(), other.lower()
    same_begin = one[: min(len(one), len(other)) - 1] == other[: min(len(one), len(other)) - 1]
    return same_begin or SequenceMatcher(None, one, other, autojunk=False).ratio() >= enough


def _has(text: str, word: str) -> bool:
    """Whether a text has a word in some form."""
    return any(_plain(other) == _plain(word) or _alike(other, word) for other in _WORD.findall(text))
