"""Persons and places of the same name told apart, from STEPBible's TIPNR.

The context has a line about each of several individuals, as the source describes them: bearers of one name, or, where
a name has but one bearer, others that are first named in the same chapter.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from bibleqa.data.corpora.records import ProperName, Strongs
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.questions.names import NAME
from bibleqa.data.questions.versification import ways_to_write
from bibleqa.data.reference import Reference
from bibleqa.text import contains, words

TYPE = "people_places"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.02, 1500
# There are but eight periods.
_PERIOD_SHARE = 0.2
# Fathers would be nearly all.
_OF_A_KIND = {"father": 400, "mother": 150, "spouse": 150, "verse": 350, "period": 90, "near": 100, "also": 100}
_OTHERS = 4
_LONGEST = 850

_DESCRIBED = re.compile(r"^(?P<what>[A-Z][^,;]*?),? living (?:at the time (?:of )?)?(?P<period>[^,;-]+)$")
_NUMBERS = re.compile(r" ?\([HG]\d+[A-Za-z]?\)")
_MENTIONED = re.compile(r",? ?(?:first|only) mentioned at [^;]*")
_NEAR = re.compile(rf"^A location (?P<how>near|in) (?P<place>{NAME})$")
_ALSO = re.compile(r"^also called (?P<names>.+)$")
_EDITION = re.compile(r" ?\([^()]*\)$")
# Not for everybody to know: doubtful, or about another's key.
_UNSURE = re.compile(r"[@?=<>]|Word sometimes|People|Group|A group")
# The inhabitants, whom the source lists with the place.
_PEOPLE_OF = re.compile(r"(?:ites?|eans?|ians?)$")
_MOST_NAMES = 3
# Two words more alike than that are one name, spelled otherwise (Gomorrha).
_ALIKE = 0.7
_RANKS = frozenset(
    {"King", "Priest", "Prophet", "Prophetess", "Singer", "Judge", "Apostle", "Queen", "Tetrarch", "Giant"}
)

_WORDINGS = {
    "father": ("Who was the father of {who}?", "Whose child was {who}?", "Who is given as the father of {who}?"),
    "mother": ("Who was the mother of {who}?", "Which woman was the mother of {who}?"),
    "spouse": ("To whom was {who} married?", "Who was married to {who}?"),
    "period": ("In which period did {who} live?", "To which time does {who} belong?"),
    "verse": ("In which verse is {who} first named?", "Where in the Bible is {who} first named?"),
    "near": ("{how} which place was {who}?", "{how} what other place did {who} lie?"),
    "in": ("In which land or place was {who}?", "Where did {who} lie?"),
    "also": ("What else is {who} called?", "By which other name is {who} known?"),
}


@dataclass(frozen=True)
class Individual:
    """A person or place, with what is told of it.

    Attributes:
        name: As the King James Version has it.
        first: The verse that names it first.
        number: Strong's number of the name, which others of the same name share.
        what: Rank or kind (`Priest`, `Man`, `A location near Beersheba`).
        period: When a person lived, as the source has it; empty for a place.
        also: Other names.
        father: Name of the father; empty where it is not told or in doubt.
        mother: Name of the mother.
        spouse: Name of the one husband or wife.
    """

    name: str
    first: Reference
    number: str
    what: str
    period: str = ""
    also: tuple[str, ...] = ()
    father: str = ""
    mother: str = ""
    spouse: str = ""

    @property
    def row(self) -> str:
        """`Azariah (1 Kings 4:5): Man, United Monarchy; father: Nathan`."""
        told = [f"{self.what}, {self.period}" if self.period else self.what]
        for relation, name in (("father", self.father), ("mother", self.mother), ("spouse", self.spouse)):
            told += [f"{relation}: {name}"] if name else []
        told += [f"also called {', '.join(self.also)}"] if self.also else []
        return f"{self.name} ({self.first}): {'; '.join(told)}"


def questions(corpus: Corpus) -> Iterator[Item]:
    """Father, mother, spouse, period and first mention of a person; place, other name and first mention of a place."""
    everyone = individuals(corpus)
    by_kind: dict[str, list[Item]] = {}
    for who, others, same_name in _companies(everyone):
        for kind, item in _items(who, others, same_name):
            by_kind.setdefault(kind, []).append(item)
    share = dict.fromkeys(by_kind, 2 * _SHARE) | {"period": _PERIOD_SHARE}
    chosen = (i for kind, items in by_kind.items() for i in select(items, share[kind], _OF_A_KIND[kind]))
    return iter(select(chosen, _SHARE, _LIMIT))


def individuals(corpus: Corpus) -> list[Individual]:
    """The persons and places of which the source says something that is certain."""
    known = {name.unique: name for kind in ("person", "place") for name in corpus.names(kind)}
    found = [one for name in known.values() if (one := _individual(name, known))]
    # The source follows the ESV, and where the King James text has another name it may not say so.
    found = [one for one in found if one.first.exists and contains(corpus.bible[one.first.id].text, one.name)]
    # Two bearers of a name that the same verse names first cannot be told apart by it.
    labels = [(one.name, one.first) for one in found]
    return [one for one, label in zip(found, labels, strict=True) if labels.count(label) == 1]


def _individual(name: ProperName, known: dict[str, ProperName]) -> Individual | None:
    if not (re.fullmatch(NAME, name.name) and name.verses and name.strongs):
        return None
    what, *more = (part.strip() for part in _tidy(name.description).split(";"))
    if _UNSURE.search(what):
        return None
    first, number = Reference.from_id(name.verses[0]), Strongs.parse(name.strongs[0]).number
    also = _other_names(name.name, more)
    if name.kind == "place":
        return Individual(name.name, first, number, what, also=also) if what else None
    described = _DESCRIBED.match(what)
    if not described:
        return None
    period = described["period"].removeprefix("the ")
    relatives = {relation: _relative(name, relation, known) for relation in ("father", "mother", "spouse")}
    return Individual(name.name, first, number, described["what"], period, also, **relatives)


def _tidy(description: str) -> str:
    """A description without Strong's numbers and references, its slips of the pen put right."""
    text = _MENTIONED.sub("", _NUMBERS.sub("", description))
    return text.replace("ofExile and return", "of Exile and Return").replace("Monarchyand", "Monarchy and")


def _other_names(name: str, parts: Sequence[str]) -> tuple[str, ...]:
    """Other names, without other spellings of the same letters; none of those that have very many."""
    match = next((m for part in parts if (m := _ALSO.match(part))), None)
    listed = match["names"].split(", ") if match else []
    bare = [_EDITION.sub("", other).strip() for other in listed if "=" not in other]
    joined = "".join(words(name))
    names = [o for o in dict.fromkeys(bare) if re.fullmatch(NAME, o) and not _PEOPLE_OF.search(o)]
    others = tuple(
        o for o in names if SequenceMatcher(None, joined, "".join(words(o)), autojunk=False).ratio() < _ALIKE
    )
    return others if len(others) <= _MOST_NAMES else ()


def _relative(name: ProperName, relation: str, known: dict[str, ProperName]) -> str:
    """The name of the one father, mother or spouse; empty where there is none, more than one, or doubt."""
    keys = [key for told, key in name.relations if told.rstrip("?") == relation]
    if len(keys) != 1 or (f"{relation}?", keys[0]) in name.relations or keys[0] not in known:
        return ""
    relative = known[keys[0]]
    wrong = {"father": "Woman", "mother": "Man"}.get(relation, "-")
    fits = re.fullmatch(NAME, relative.name) and not relative.description.startswith(wrong)
    return relative.name if fits else ""


def _companies(everyone: Sequence[Individual]) -> Iterator[tuple[Individual, list[Individual], bool]]:
    """Each with others to be told from, and whether those bear the same name.

    Bearers of a name stay together by its number, all others by their chapter, so that no line about anybody is in
    two splits.
    """
    by_name: dict[tuple[str, str], list[Individual]] = {}
    for one in everyone:
        by_name.setdefault((one.name, one.number), []).append(one)
    by_chapter: dict[int, list[Individual]] = {}
    for bearers in by_name.values():
        if len(bearers) == 1:
            by_chapter.setdefault(bearers[0].first.id // 1000, []).append(bearers[0])
    for groups, same_name in ((by_name.values(), True), (by_chapter.values(), False)):
        for group in groups:
            for one in group:
                key = f"{TYPE}:{one.name}:{one.first.id}"
                others = sorted((o for o in group if o != one), key=lambda o: digest(f"{key}:{o.name}:{o.first.id}"))
                if len(others) >= (1 if same_name else 2):
                    yield one, others[:_OTHERS], same_name


def _items(who: Individual, others: list[Individual], same_name: bool) -> Iterator[tuple[str, Item]]:
    key = f"{TYPE}:{who.name}:{who.first.id}"
    named = choose(f"named:{key}", (f"the {who.name} of {who.first}", f"{who.name} ({who.first})"))
    if not same_name:
        named = who.name
    answers: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = []
    for kind, relative in (("father", who.father), ("mother", who.mother), ("spouse", who.spouse)):
        if relative:
            answers.append((kind, relative, (), _WORDINGS[kind]))
    if who.period:
        answers.append(("period", who.period, (), _WORDINGS["period"]))
    if place := _NEAR.match(who.what):
        how = place["how"].capitalize()
        wordings = tuple(w.replace("{how}", how) for w in _WORDINGS["in" if how == "In" else "near"])
        answers.append(("near", place["place"], (), wordings))
    # Of several, some stand only where the source's own text reads otherwise.
    if len(who.also) == 1:
        answers.append(("also", who.also[0], (), _WORDINGS["also"]))
    for kind, answer, variants, wordings in answers:
        yield kind, _item(f"{key}:{kind}", who, others, same_name, named, wordings, answer, variants)
    if clue := _clue(who, others) if same_name else named:
        ref = str(who.first)
        yield (
            "verse",
            _item(f"{key}:verse", who, others, same_name, clue, _WORDINGS["verse"], ref, ways_to_write(who.first)),
        )


def _clue(who: Individual, others: Sequence[Individual]) -> str:
    """What tells one from the others of the name, without saying where it is named; empty if nothing does."""
    if who.father and who.father not in (other.father for other in others):
        return f"the {who.name} whose father was {who.father}"
    if who.what in _RANKS and who.what not in (other.what for other in others):
        return f"the {who.name} who was {'an' if who.what == 'Apostle' else 'a'} {who.what.lower()}"
    return ""


def _item(
    key: str,
    who: Individual,
    others: Sequence[Individual],
    same_name: bool,
    named: str,
    wordings: Sequence[str],
    answer: str,
    variants: tuple[str, ...],
) -> Item:
    rows = sorted((one.row for one in (who, *others)), key=lambda row: digest(f"{key}:{row}"))
    while len("\n".join(rows)) > _LONGEST:
        rows.remove(next(row for row in reversed(rows) if row != who.row))
    return Item(
        id=key,
        context="\n".join(rows),
        question=choose(f"wording:{key}", wordings).format(who=named),
        answer=answer,
        type=TYPE,
        reference="" if same_name else str(who.first),
        strongs_id=who.number,
        variants=variants,
    )
