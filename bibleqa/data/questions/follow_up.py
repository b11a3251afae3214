"""Conversations: a last question that means nothing without the turns before it.

The context always holds at least two answers of the kind that is asked for, so that it alone decides nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from bibleqa.data.item import Item, Turn
from bibleqa.data.kjv import Bible, Verse, context_of
from bibleqa.data.questions.craft import choose, select
from bibleqa.data.questions.kinship import Kin, ask_parent, kin
from bibleqa.data.questions.names import other_names
from bibleqa.data.questions.number import Measure, measures
from bibleqa.data.questions.numerals import accepted_forms
from bibleqa.data.questions.speaker import Speech, ask_hearer, ask_speaker, names_of, speech

TYPE = "follow_up"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.06, 1600
# Genealogies give thousands of follow-ups that are all alike.
_DESCENT_LIMIT = 450

_TO_WHOM = ("And to whom?", "To whom was this said?", "And who was being spoken to?", "Who was it said to?")
_WHO = ("And who said it?", "Who is speaking there?", "And by whom was it said?", "Whose words are these?")
_NEXT = ("And who speaks in the next verse?", "Who speaks in the verse after that?")
_FATHER = (
    "And who was his father?",
    "And whose son was he?",
    "Who was his father, in turn?",
    "And he, whose son was he?",
)
_SON = ("And whom did he beget in turn?", "And who was his son?", "Whom did that son beget?")
_OLD_THEN = ("How old was he then?", "What age was he at the time?", "And how old was he when that son was born?")
_AFTERWARDS = ("How many years did he live after that?", "And how many years did he live afterwards?")
_IN_ALL = ("How many years did he live in all?", "And how old was he when he died?")
_REIGNED = ("And how many years did he reign?", "For how many years was he king?")
_HOW_MANY = ("How many were they?", "And what was their number?", "And how many of them were there?")
_NEXT_CLAN = ("And whose are numbered in the next verse?", "Who comes in the verse after that?")


def questions(bible: Bible) -> Iterator[Item]:
    """Follow-ups on speeches, descent and numbers."""
    descent = select((i for c in bible.chapters.values() for i in _on_descent(bible, c)), _SHARE, _DESCENT_LIMIT)
    others = (i for c in bible.chapters.values() for i in (*_on_speeches(bible, c), *_on_numbers(bible, c)))
    return iter(select([*others, *descent], _SHARE, _LIMIT))


def _around(chapter: Sequence[Verse], verse: Verse, most: int) -> list[Verse]:
    """Verses around the verse, `most` in all where the chapter has them, the verse at a varying place."""
    before = choose(f"{TYPE}:around:{verse.id}", range(most))
    start = max(0, verse.verse - 1 - before)
    return list(chapter[start : start + most])


def _item(
    key: str,
    verses: Sequence[Verse],
    verse: Verse,
    history: Sequence[Turn],
    asked: Sequence[str],
    answer: str,
    variants: tuple[str, ...],
) -> Item:
    return Item(
        id=f"{TYPE}:{key}",
        context=context_of(verses),
        question=choose(f"{TYPE}:{key}", asked),
        answer=answer,
        history=tuple(history),
        type=TYPE,
        reference=verse.reference,
        variants=variants,
    )


def _on_speeches(bible: Bible, chapter: list[Verse]) -> Iterator[Item]:
    speeches = {v.id: said for v in chapter if (said := speech(bible, v))}
    for said in speeches.values():
        yield from _on_speech(_around(chapter, said.verse, 5), said, speeches)


def _on_speech(verses: list[Verse], said: Speech, speeches: dict[int, Speech]) -> Iterator[Item]:
    verse = said.verse
    inside = [speeches[v.id] for v in verses if v.id in speeches]
    speakers = {s.speaker for s in inside if s.speaker}
    hearers = {s.hearer for s in inside if s.hearer}
    if said.speaker and said.hearer and len(hearers) > 1:
        key = f"{verse.id}:hearer"
        first = Turn(ask_speaker(replace(said, hearer=""), key), said.speaker)
        yield _item(key, verses, verse, [first], _TO_WHOM, said.hearer, names_of(said.hearer, verse))
    if said.speaker and said.hearer and len(speakers) > 1:
        key = f"{verse.id}:speaker"
        first = Turn(ask_hearer(replace(said, speaker=""), key), said.hearer)
        yield _item(key, verses, verse, [first], _WHO, said.speaker, names_of(said.speaker, verse))
    following = speeches.get(verse.id + 1)
    later = {speeches[v.id].speaker for v in verses[1:] if v.id in speeches}
    if said.speaker and following and following.speaker and following.verse in verses and len(later) > 1:
        key = f"{verse.id}:next"
        first = Turn(ask_speaker(said, key), said.speaker)
        yield _item(key, verses, verse, [first], _NEXT, following.speaker, names_of(following.speaker, verse))


def _on_descent(bible: Bible, chapter: list[Verse]) -> Iterator[Item]:
    families = {v.id: found for v in chapter if (found := kin(bible, v))}
    for verse in chapter:
        if verse.id in families:
            yield from _on_family(_around(chapter, verse, 3), verse, families)


def _on_family(verses: list[Verse], verse: Verse, families: dict[int, list[Kin]]) -> Iterator[Item]:
    known = [k for v in verses for k in families.get(v.id, ())]
    told_in = {k.child: v.reference for v in verses for k in families.get(v.id, ())}
    parent_of = {k.child: k for k in known}
    single = {k.child for k in known if not any(o.child == k.child and o.parent != k.parent for o in known)}
    children = {parent: {k.child for k in known if k.parent == parent} for parent in {k.parent for k in known}}
    for first in families.get(verse.id, ()):
        key = f"{verse.id}:{first.child}"
        second = parent_of.get(first.parent)
        if not second or not (first.father and second.father) or second.relation == "daughter":
            continue
        if not {first.child, first.parent} <= single:
            continue
        opened = Turn(ask_parent(first, key, verse.reference), first.parent)
        yield _item(f"{key}:father", verses, verse, [opened], _FATHER, second.parent, other_names(second.parent, verse))
        third = parent_of.get(second.parent)
        if third and third.father and third.relation != "daughter" and second.parent in single:
            turns = [opened, Turn("And who was his father?", second.parent)]
            yield _item(
                f"{key}:forefather", verses, verse, turns, ("And his?", "And the father of that one?"),
                third.parent, other_names(third.parent, verse),
            )  # fmt: skip
        if second.relation == "begat" and first.relation == "begat" and children[first.parent] == {first.child}:
            opened = Turn(f"Whom did {second.parent} beget, according to {told_in[second.child]}?", second.child)
            yield _item(f"{key}:son", verses, verse, [opened], _SON, first.child, other_names(first.child, verse))


def _on_numbers(bible: Bible, chapter: list[Verse]) -> Iterator[Item]:
    numbers = {v.id: found for v in chapter if (found := measures(bible, v))}
    yield from _on_ages(numbers)
    yield from _on_clans(chapter, numbers)


def _on_ages(numbers: dict[int, list[Measure]]) -> Iterator[Item]:
    by_kind: dict[str, list[Measure]] = {}
    for found in numbers.values():
        for measure in found:
            by_kind.setdefault(measure.kind, []).append(measure)
    for one, other in combinations(by_kind.get("begat", ()), 2):
        yield from _on_lives(by_kind, one, other)
    ages = {m.who: m for m in by_kind.get("age", ()) if "began to reign" in m.asked[0]}
    for one, other in combinations(by_kind.get("reign", ()), 2):
        for reign, decoy in ((one, other), (other, one)):
            if reign.who in ages and reign.who != decoy.who and reign.numeral.value != decoy.numeral.value:
                age = ages[reign.who]
                first = Turn(age.asked[0], age.numeral.words.lower())
                yield _numbered(f"{reign.verse.id}:reign:{decoy.verse.id}", [reign, decoy], [first], _REIGNED, reign)


def _on_lives(by_kind: dict[str, list[Measure]], one: Measure, other: Measure) -> Iterator[Item]:
    """Follow-ups on one of two neighbouring patriarchs, the other for a decoy."""
    if other.verse.id - one.verse.id > 4:
        return
    for person, decoy in ((one, other), (other, one)):
        for kind, asked in (("begat", _OLD_THEN), ("after", _AFTERWARDS), ("life", _IN_ALL)):
            told = {m.who: m for m in by_kind.get(kind, ()) if m.who in (person.who, decoy.who)}
            if len(told) == 2 and told[person.who].numeral.value != told[decoy.who].numeral.value:
                measure = told[person.who]
                first = Turn(f"Who begat {person.child}, according to {person.verse.reference}?", person.who)
                key = f"{person.verse.id}:{kind}:{decoy.verse.id}"
                yield _numbered(key, [person, decoy, *told.values()], [first], asked, measure)


def _on_clans(chapter: list[Verse], numbers: dict[int, list[Measure]]) -> Iterator[Item]:
    clans = {i: m for i, found in numbers.items() for m in found if m.kind == "clan"}
    for verse_id, clan in clans.items():
        following = clans.get(verse_id + 1)
        verses = [v for v in _around(chapter, clan.verse, 3) if v.id in clans]
        values = {clans[v.id].numeral.value for v in verses}
        if len(values) == len(verses) > 1:
            first = Turn(f"Whose number is given in {clan.verse.reference}?", clan.who)
            inside = [clans[v.id] for v in verses]
            yield _numbered(f"{verse_id}:clan", inside, [first], _HOW_MANY, clan)
        if following and len(verses) > 2 and following.verse in verses:
            first = Turn(clan.asked[0].format(ref=clan.verse.reference), clan.numeral.words.lower())
            yield _item(
                f"{verse_id}:next",
                verses,
                clan.verse,
                [first],
                _NEXT_CLAN,
                following.who,
                (following.who.split(" of ")[1],),
            )


def _numbered(
    key: str, inside: Sequence[Measure], history: Sequence[Turn], asked: Sequence[str], measure: Measure
) -> Item:
    verses = sorted({m.verse.id: m.verse for m in inside}.values(), key=lambda v: v.id)
    answer = measure.numeral.words.lower()
    return _item(key, verses, measure.verse, history, asked, answer, accepted_forms(measure.numeral))
