"""The Hebrew behind the King James Version's names of God in the Old Testament.

The version prints LORD and GOD in capitals where the Hebrew has the divine name, and Lord and God otherwise. The
other terms are not so regular (God may be El or Eloah, Lord may be Adon), so each is asked about only where it is
certain. The rules here agree with the Strong's tags of the SWORD module engKJV2006eb in every verse they accept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse, context_of
from bibleqa.data.questions.craft import choose, select

TYPE = "divine_name"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.08, 1200


@dataclass(frozen=True)
class Term:
    """A Hebrew word that God is called by, and the English word that it stands behind.

    Attributes:
        also: Other names of the Hebrew word, and other numbers of it.
    """

    english: str
    name: str
    hebrew: str
    number: str
    also: tuple[str, ...] = ()
    other_numbers: tuple[str, ...] = ()


_YHWH = ("YHWH", "יהוה", "H3068", ("Yahweh", "Jehovah", "YHVH"))
LORD = Term("LORD", *_YHWH)
# Strong's gives the name its own number where it is read Elohim, beside Adonai.
GOD = Term("GOD", *_YHWH, ("H3069",))
ELOHIM = Term("God", "Elohim", "אלהים", "H430")
ADONAI = Term("Lord", "Adonai", "אדני", "H136", ("Adonay",))
ADON = Term("Lord", "Adon", "אדון", "H113")
SHADDAI = Term("Almighty", "Shaddai", "שדי", "H7706")
SABAOTH = Term("hosts", "Sabaoth", "צבאות", "H6635", ("Tsebaoth", "Tzevaot", "Tsaba"))
ELYON = Term("most High", "Elyon", "עליון", "H5945")

# Yah (H3050) is printed LORD too: often from Psalm 68 on, and in these verses.
_YAH = frozenset({2015002, 2017016, 23012002, 23026004, 23038011})
# Here LORD is in italics: the translators supplied it.
_SUPPLIED = frozenset({2033009, 3024011})
_YAH_IN_PSALMS = range(19068000, 19151000)
_ADON = frozenset(
    {2023017, 2034023, 6003011, 6003013, 16008010, 16010029, 19008001, 19008009, 19097005, 19110001, 19114007,
     19135005, 19136003, 19147005, 23001024, 23003001, 23010033, 23019004, 33004013, 38004014, 38006005, 39003001}
)  # fmt: skip
_ELYON_BOOKS = frozenset({"Genesis", "Numbers", "Deuteronomy", "2 Samuel", "Psalms", "Isaiah", "Lamentations"})
_MAROM = frozenset({19056002, 19092008})
_ADONAI_BOOKS = frozenset({"Lamentations", "Ezekiel", "Amos"})
# The prose in which God is Elohim in these phrases; Ezra has Aramaic, poetry has El and Eloah.
_ELOHIM_BOOKS = range(1, 15)
_ELOHIM = re.compile(
    r"\bLORD (?:(?:my|thy|our|your|his|their|her) )?God\b(?!, merciful)|\b(?:my|thy|our|your|his|their|her) God\b"
    r"|\b(?:man|house|ark|angel|Spirit) of God\b|^And God (?!Almighty)[a-z]+\b"
)


def terms(verse: Verse) -> list[Term]:
    """The terms whose Hebrew is certain in the verse, each that stands there once, in the order of the text."""
    if not verse.old_testament:
        return []
    found = [term for term in (_lord(verse), _capital_god(verse), _god(verse), _small_lord(verse)) if term]
    if len(re.findall(r"\bAlmighty\b", verse.text)) == 1:
        found.append(SHADDAI)
    if len(re.findall(r"\bhosts?\b", verse.text)) == 1 and "LORD of hosts" in verse.text:
        found.append(SABAOTH)
    if len(re.findall(r"\b[Mm]ost [Hh]igh\b", verse.text)) == 1 and verse.book in _ELYON_BOOKS:
        found += [ELYON] if verse.id not in _MAROM else []
    return sorted(found, key=lambda term: verse.text.lower().index(term.english.lower()))


def questions(bible: Bible) -> Iterator[Item]:
    """Questions of verses, or pairs of verses, in which there is more than one term to tell apart."""
    return iter(select((i for v in bible.verses for i in _items(bible, v)), _SHARE, _LIMIT))


def _items(bible: Bible, verse: Verse) -> Iterator[Item]:
    own = terms(verse)
    verses = [verse]
    if len({term.number for term in own}) == 1:
        verses = bible.neighbours(verse, *choose(f"{TYPE}:window:{verse.id}", ((0, 1), (1, 0))))
    noted = {v.id: terms(v) for v in verses}
    if len({term.number for found in noted.values() for term in found}) < 2:
        return
    for term in own:
        key = f"{TYPE}:{verse.id}:{term.english.replace(' ', '-')}"
        question, answer, variants = _asked(term, own, key, verse.reference)
        yield Item(
            id=key,
            context="\n".join(_with_notes(v, noted[v.id]) for v in verses),
            question=question,
            answer=answer,
            type=TYPE,
            reference=verse.reference,
            strongs_id=term.number,
            variants=variants,
        )


def _asked(term: Term, own: list[Term], key: str, ref: str) -> tuple[str, str, tuple[str, ...]]:
    """A question about the term, its answer and variants.

    The reference leads and little follows it, so that no ten words of a question stand in another chapter's.
    """
    word = f"“{term.english}”"
    by_name = (
        (
            f"In {ref}, which Hebrew word is behind {word}?",
            f"In {ref}, what is {word} in Hebrew?",
            f"In {ref}, which Hebrew word does {word} translate?",
        ),
        term.name,
        (*term.also, term.hebrew, term.number, *term.other_numbers),
    )
    numbers = (term.number, *term.other_numbers)
    by_number = (
        (
            f"In {ref}, what is the Strong's number of {word}?",
            f"In {ref}, which Strong's number has {word}?",
        ),
        term.number,
        (*numbers[1:], *(number.removeprefix("H") for number in numbers)),
    )
    by_letters = (
        (
            f"In {ref}, how is the Hebrew behind {word} spelled?",
            f"For {ref}, give the Hebrew letters behind {word}.",
        ),
        term.hebrew,
        (),
    )
    by_english = (
        (
            f"In {ref}, which English word stands for {term.name}?",
            f"In {ref}, how does the KJV render {term.name}?",
        ),
        term.english,
        (),
    )
    kinds = [by_name, by_number, by_letters]
    if sum(other.number == term.number for other in own) == 1:
        kinds.append(by_english)
    wordings, answer, variants = choose(f"kind:{key}", kinds)
    return choose(f"wording:{key}", wordings), answer, variants


def _with_notes(verse: Verse, noted: list[Term]) -> str:
    """The verse, and a note for each of its terms as a study Bible's margin has it."""
    notes = (f"[{verse.reference}, note] {t.english}: {t.name}, {t.hebrew}, {t.number}" for t in noted)
    return "\n".join([context_of([verse]), *notes])


def _lord(verse: Verse) -> Term | None:
    certain = verse.id not in _YAH | _SUPPLIED and verse.id not in _YAH_IN_PSALMS
    return LORD if certain and re.search(r"\bLORD\b(?!’)", verse.text) and "THE LORD" not in verse.text else None


def _capital_god(verse: Verse) -> Term | None:
    return GOD if re.search(r"\bGOD\b", verse.text) and "THE LORD" not in verse.text else None


def _god(verse: Verse) -> Term | None:
    once = len(re.findall(r"\bGods?\b", verse.text)) == 1
    prose = verse.id // 1_000_000 in _ELOHIM_BOOKS
    return ELOHIM if once and prose and _ELOHIM.search(verse.text) else None


def _small_lord(verse: Verse) -> Term | None:
    if len(re.findall(r"\bLord\b", verse.text)) != 1:
        return None
    if verse.id in _ADON:
        return ADON
    adonai = re.search(r"\bLord GOD\b|\bO Lord\b", verse.text) or (
        verse.book in _ADONAI_BOOKS and re.search(r"\b[Tt]he Lord\b", verse.text)
    )
    return ADONAI if adonai else None
