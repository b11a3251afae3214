from collections.abc import Callable, Sequence

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse
from bibleqa.data.questions.kinship import kin
from bibleqa.data.questions.names import proper_names
from bibleqa.data.questions.number import measures
from bibleqa.data.questions.speaker import speech
from bibleqa.text import contains


def of_kind(items: list[Item], kind: str) -> list[Item]:
    return [item for item in items if f":{kind}" in item.id]


def test_the_last_question_names_nothing_that_it_is_about(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    names = proper_names(bible)
    for item in family("follow_up"):
        assert item.history
        assert not [word for word in item.question.strip("?").split() if word in names], item
        assert ":" not in item.question


def test_every_context_has_several_answers_of_the_kind_that_is_asked_for(
    bible: Bible, family: Callable[[str], list[Item]]
) -> None:
    items = family("follow_up")
    kinds: dict[str, Callable[[Verse], Sequence[object]]] = {
        "hearer": lambda v: [s.hearer for s in [speech(bible, v)] if s],
        "speaker": lambda v: [s.speaker for s in [speech(bible, v)] if s],
        "next": lambda v: [s.speaker for s in [speech(bible, v)] if s] + [m.who for m in measures(bible, v)],
        "father": lambda v: [k.parent for k in kin(bible, v)],
        "forefather": lambda v: [k.parent for k in kin(bible, v)],
        "son": lambda v: [k.child for k in kin(bible, v)],
        "begat": lambda v: [m.numeral.value for m in measures(bible, v) if m.kind == "begat"],
        "after": lambda v: [m.numeral.value for m in measures(bible, v) if m.kind == "after"],
        "life": lambda v: [m.numeral.value for m in measures(bible, v) if m.kind == "life"],
        "reign": lambda v: [m.numeral.value for m in measures(bible, v) if m.kind == "reign"],
        "clan": lambda v: [m.numeral.value for m in measures(bible, v) if m.kind == "clan"],
    }
    for kind, answers in kinds.items():
        asked = of_kind(items, kind)
        assert asked, kind
        for item in asked:
            possible = {a for v in bible.cited(item.context) for a in answers(v) if a}
            assert len(possible) > 1, item


def test_the_answer_is_not_told_by_an_earlier_turn(family: Callable[[str], list[Item]]) -> None:
    for item in family("follow_up"):
        for turn in item.history:
            assert not [a for a in item.accepted if contains(f"{turn.question} {turn.answer}", a)], item


def test_the_first_turn_says_which_verse_or_deed_it_is_about(family: Callable[[str], list[Item]]) -> None:
    for item in family("follow_up"):
        assert item.reference.rsplit(" ", 1)[0] in item.history[0].question or ":reign" in item.id, item


def test_a_turn_about_descent_names_the_verse_that_tells_it(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    for item in (i for kind in ("father", "forefather", "son") for i in of_kind(family("follow_up"), kind)):
        told = [v for v in bible.cited(item.context) if v.reference in item.history[0].question]
        assert any(contains(v.text, item.history[0].answer) for v in told), item
        assert any({item.history[0].answer} & {k.child, k.parent} for v in told for k in kin(bible, v)), item


def test_there_are_enough_and_descent_is_not_all(family: Callable[[str], list[Item]]) -> None:
    items = family("follow_up")
    assert len(items) >= 600
    assert sum(len(of_kind(items, kind)) for kind in ("hearer", "speaker", "next")) >= 200
    assert sum(len(item.history) > 1 for item in items) >= 80
