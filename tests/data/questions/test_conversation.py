import re
from collections import Counter
from collections.abc import Callable

import pytest

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.conversation import word_notes
from bibleqa.data.questions.kinship import kin
from bibleqa.data.questions.names import proper_names
from bibleqa.data.questions.speaker import speech

Asked = Callable[[str], dict[str, Item]]
FIRST = "conversation:1001001:first:deed:word"
_NOTE = re.compile(r"(?:\] |; )([A-Za-z]+): ([HG]\d+) ([^;\n]+)")


def ends_with(items: dict[str, Item], kind: str) -> list[Item]:
    return [item for key, item in items.items() if key.endswith(f":{kind}") and ":first:" not in key]


def noted(item: Item) -> list[tuple[str, str, str]]:
    lines = [line for line in item.context.split("\n") if ", words]" in line]
    return [match for line in lines for match in _NOTE.findall(line)]


def test_the_thread_on_the_first_verse(asked: Asked) -> None:
    items = asked("conversation")
    (turn,) = items[FIRST].history
    assert (turn.question, turn.answer) == ("Who created the heavens and the earth?", "God")
    assert items[FIRST].question == "What does “God” mean here?"
    assert items[FIRST].answer == "Elohim"
    assert {"H430", "Elohim (H430)", "אלהים"} <= set(items[FIRST].variants)
    assert items[f"{FIRST}:number"].answer == "H430"


@pytest.mark.parametrize(
    ("verse", "word", "number"),
    [
        (1001001, "created", "H1254"),
        (1001001, "God", "H430"),
        (43003016, "world", "G2889"),
        (19023001, "shepherd", "H7462"),
        (1008020, "altar", "H4196"),
    ],
)
def test_words_are_noted_with_their_number(corpus: Corpus, verse: int, word: str, number: str) -> None:
    assert {w.english: w.number for w in word_notes(corpus, corpus.bible[verse])}[word] == number


@pytest.mark.parametrize(
    ("verse", "word"),
    [
        (1008020, "Noah"),  # a name
        (3009010, "offering"),  # of the sin offering
        (27003001, "king"),  # Aramaic
        (45001014, "both"),  # grammar
        (40027006, "pieces"),  # of silver
    ],
)
def test_what_would_mislead_or_teach_nothing_is_not_noted(corpus: Corpus, verse: int, word: str) -> None:
    assert word not in {w.english for w in word_notes(corpus, corpus.bible[verse])}


def test_a_name_of_god_is_one_only_where_it_stands_for_god(corpus: Corpus) -> None:
    names = {
        (w.verse.id, w.english): w.name
        for v in (11011004, 1001001, 6016005)
        for w in word_notes(corpus, corpus.bible[v])
    }
    assert names[1001001, "God"] == "Elohim"
    assert names[11011004, "gods"] == "'ĕlôhîym"
    assert names[6016005, "upper"] != "Elyon"


def test_the_last_question_names_nothing_that_it_is_about(corpus: Corpus, asked: Asked) -> None:
    names = proper_names(corpus.bible)
    for key, item in asked("conversation").items():
        if key != FIRST:
            assert not [w for w in re.findall(r"[A-Z][a-z]+", item.question) if w in names - {"Hebrew", "Greek"}], item
            assert "“" not in item.question, item
            assert ":" not in item.question, item


def test_every_context_has_several_answers_of_the_kind_that_is_asked_for(corpus: Corpus, asked: Asked) -> None:
    bible, items = corpus.bible, asked("conversation")
    for kind in ("word", "number", "english"):
        for item in ends_with(items, kind):
            assert len({number for _, number, _ in noted(item)}) > 1, item
    for kind, side in (("speaker", "speaker"), ("hearer", "hearer")):
        for item in ends_with(items, kind):
            said = [found for v in bible.cited(item.context) if (found := speech(bible, v))]
            assert len({getattr(s, side) for s in said} - {""}) > 1, item
    for item in ends_with(items, "father"):
        assert len({k.parent for v in bible.cited(item.context) for k in kin(bible, v)}) > 1, item


def test_words_and_numbers_agree_with_the_notes(asked: Asked) -> None:
    for key, item in asked("conversation").items():
        last, notes = key.rpartition(":")[2], noted(item)
        if last == "number":
            before = item.history[-1]
            assert (before.answer, item.answer) in {(name, number) for _, number, name in notes}, item
        elif last == "word":
            assert item.answer in {name for _, _, name in notes}, item
        elif last == "english":
            assert (item.answer, item.strongs_id) in {(english, number) for english, number, _ in notes}, item


def test_deeds_are_done_by_somebody(asked: Asked) -> None:
    opened = [item.history[0] for key, item in asked("conversation").items() if key.split(":")[2] == "deed"]
    assert len(opened) >= 60
    assert not {"And", "They", "He"} & {turn.answer for turn in opened}


def test_threads_are_of_all_lengths_and_kinds(asked: Asked) -> None:
    items = asked("conversation")
    turns = Counter(len(item.history) + 1 for item in items.values())
    openings = Counter(key.split(":")[2] for key in items)
    assert len(items) >= 800
    assert all(turns[n] >= 50 for n in (2, 3, 4, 5)), turns
    assert all(openings[kind] >= 80 for kind in ("speaker", "hearer", "deed", "father", "word")), openings
    assert len(ends_with(items, "number")) <= 0.5 * len(items)
    assert max(len(item.context) for item in items.values()) <= 900
