"""Father, mother, son: from `begat` and `the son of`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse, context_of
from bibleqa.data.questions.craft import choose, select, window
from bibleqa.data.questions.names import NAME, other_names, proper_names

TYPE = "kinship"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.04, 2400

# "Irad begat Mehujael": the subject opens its clause, and the clause ends with the child or goes on with the mother.
_BEGAT = re.compile(
    rf"(?:^|[.:;,] )(?:And |and |Now |so |and so )?(?P<parent>{NAME})(?: the king| also)? begat (?P<child>{NAME})"
    rf"(?= of | the |[.:;]|, and {NAME}(?: also)? begat |, who |, {NAME} also |, and circumcised |,$)"
)
_LIVED = re.compile(
    rf"(?:^|[.:;] )(?:And )?(?P<parent>{NAME}) lived [a-z ]+ years,? and begat (?P<child>{NAME})(?=[.:;])"
)
# "Judas Iscariot the son of Simon": what precedes the child may be the better part of the name.
_SECOND_NAME = re.compile(r"(?<![A-Za-z])(?!And|Then|Now|So|But|When|Moreover)[A-Z][a-z]+ $")
_ALONE = r"(?![\w’-])(?! and (?:of )?[A-Z])"
# "Joshua the son of Nun"; the parent's clause may end there, or say who the parent was.
_CHILD_OF = re.compile(
    rf"(?<![\w’-])(?P<child>{NAME}) (?:which was )?the (?P<role>son|daughter) of (?P<parent>{NAME}){_ALONE}"
)
# In a genealogy a comma may stand between: "the son of Kore, the son of Ebiasaph".
_CHAINED = re.compile(rf"(?<=son of )(?P<child>{NAME}), (?:which was )?the (?P<role>son) of (?P<parent>{NAME}){_ALONE}")
# Children are named after these mothers; of some it is not known which parent they were.
_MOTHERS = frozenset(
    {"Abital", "Bashemath", "Hagar", "Haggith", "Herodias", "Leah", "Maacah", "Maachah", "Mary", "Milcah",
     "Zeruiah", "Shimeath", "Shimrith", "Shomer", "Matred", "Rachel", "Sarah", "Rebekah", "Bilhah", "Zilpah",
     "Anah", "Aholibamah", "Abigail", "Ahlai"}
)  # fmt: skip
_NOT_PARENTS = frozenset(
    {"Babylon", "Jerusalem", "Zion", "Sion", "Tyre", "Egypt", "Ephod", "Belial", "Israel", "Jabesh", "Hinnom",
     "Hammelech"}
)  # fmt: skip
# "Jesus Christ, the son of David, the son of Abraham" says nothing of David's father.
_NOT_KIN = frozenset({("David", "Abraham")})
# The text calls these the child of a grandparent, so that "father" would be wrong.
_NOT_FATHERS = frozenset(
    {("Jehu", "Nimshi"), ("Zechariah", "Iddo"), ("Laban", "Nahor"), ("Mephibosheth", "Saul"), ("Athaliah", "Omri")}
)


@dataclass(frozen=True)
class Kin:
    """That one person is a child of another.

    Attributes:
        relation: `begat`, `son` or `daughter`, as the text says it.
        father: Whether the parent is surely the father.
    """

    child: str
    parent: str
    relation: str
    father: bool


@lru_cache(maxsize=40_000)  # several families ask it of every verse
def kin(bible: Bible, verse: Verse) -> list[Kin]:
    """The parents and children that the verse names, but none whose name stands for two people in it."""
    names = proper_names(bible)
    found: dict[tuple[str, str], Kin] = {}
    for pattern in (_BEGAT, _LIVED, _CHILD_OF, _CHAINED):
        for match in _overlapping(pattern, verse.text):
            child, parent = match["child"], match["parent"]
            if not {child, parent} <= names or parent in _NOT_PARENTS or (child, parent) in _NOT_KIN:
                continue
            if _SECOND_NAME.search(verse.text[: match.start("child")]):
                continue
            relation = match.groupdict().get("role") or "begat"
            father = parent not in _MOTHERS and (child, parent) not in _NOT_FATHERS
            found.setdefault((child, parent), Kin(child, parent, relation, father))
    parents_of: dict[str, set[str]] = {}
    for child, parent in found:
        parents_of.setdefault(child, set()).add(parent)
    return [k for k in found.values() if len(parents_of[k.child]) == 1]


def questions(bible: Bible) -> Iterator[Item]:
    """Whose child somebody was, and whose parent, one question of each pair of names in a verse."""
    return iter(select(_candidates(bible), _SHARE, _LIMIT))


def ask_parent(who: Kin, key: str, reference: str) -> str:
    """A question whose answer is the parent."""
    whose = "daughter" if who.relation == "daughter" else "son"
    wordings = [
        f"Whose {whose} was {who.child}, according to {reference}?",
        f"In {reference}, {who.child} is the {whose} of whom?",
    ]
    if who.relation == "begat":
        wordings = [f"Who begat {who.child}, according to {reference}?"]
    if who.father:
        wordings += [
            f"Who was the father of {who.child}, according to {reference}?",
            f"Who is named as the father of {who.child} in {reference}?",
        ]
    return choose(f"wording:{key}", wordings)


def ask_child(who: Kin, key: str, reference: str) -> str:
    """A question whose answer is the child."""
    if who.relation == "begat":
        wordings = [
            f"According to {reference}, whom did {who.parent} beget?",
            f"Which son of {who.parent} is named in {reference}?",
        ]
    else:
        wordings = [
            f"Which {who.relation} of {who.parent} is named in {reference}?",
            f"Who was the {who.relation} of {who.parent}, according to {reference}?",
        ]
    return choose(f"wording:{key}", wordings)


def _candidates(bible: Bible) -> Iterator[Item]:
    for verse in bible.verses:
        found = kin(bible, verse)
        for who in found:
            only_child = sum(other.parent == who.parent for other in found) == 1
            key = f"{TYPE}:{verse.id}:{who.child}:{who.parent}"
            child_asked = only_child and not _has_more_children(verse, who) and choose(f"side:{key}", (True, False))
            answer = who.child if child_asked else who.parent
            ask = ask_child if child_asked else ask_parent
            yield Item(
                id=key,
                context=context_of(window(bible, verse, key)),
                question=ask(who, key, verse.reference),
                answer=answer,
                type=TYPE,
                reference=verse.reference,
                variants=other_names(answer, verse),
            )


def _has_more_children(verse: Verse, who: Kin) -> bool:
    """Whether the verse may name a second child of that parent."""
    plural = rf"(?:sons|daughters|children) of {who.parent}\b|{who.parent} begat [^.:;]*,? and (?!{who.child} begat)"
    return bool(re.search(plural, verse.text)) or len(re.findall(rf"\bof {who.parent}\b", verse.text)) > 1


def _overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that may begin inside the one before: in a chain a parent is the next one's child."""
    start = 0
    while match := pattern.search(text, start):
        yield match
        start = match.start("parent") if "role" in match.groupdict() else match.end("child") - 1
