from pathlib import Path

import pytest
from rich.console import Console

from bibleqa.data import stats
from bibleqa.data.item import Item, Turn
from bibleqa.data.leakage import Leakage, asked

VERSE = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:"
NEXT = "[Genesis 5:7] And Seth lived after he begat Enos eight hundred and seven years, and begat sons and daughters:"
FAR = "[John 11:35] Jesus wept."


def item(id: str, context: str, question: str, answer: str, type: str = "kinship", reference: str = "") -> Item:
    return Item(id, context, question, answer, type=type, reference=reference, open_book=bool(context))


SPLITS = {
    "train": [
        item("1", VERSE, "Who begat Enos?", "Seth"),
        item("2", VERSE, "How many years?", "an hundred and five", "number"),
        item("3", FAR, "Who wept?", "Jesus"),
    ],
    "val": [item("4", VERSE, "Who begat Enos?", "Seth"), item("5", "", "Who was Enoch's son?", "Methuselah")],
    "test": [item("6", "", "Which verse is shortest?", "John 11:35", reference="John 11:35-36")],
    "anchors": [item("7", NEXT, "Who begat Enos?", "Seth"), item("8", FAR, "Who wept?", "Jesus")],
}


@pytest.fixture(scope="module")
def measured() -> stats.Stats:
    return stats.measure(SPLITS)


def test_families_by_splits(measured: stats.Stats) -> None:
    assert measured.counts == {"train": 3, "val": 2, "test": 1, "anchors": 2}
    kinship, number = measured.families
    assert (kinship.name, number.name) == ("kinship", "number")
    assert kinship.counts == {"train": 2, "val": 2, "test": 1, "anchors": 2}
    assert number.counts == {"train": 1, "val": 0, "test": 0, "anchors": 0}
    assert kinship.open_book == 5 / 7


def test_answers(measured: stats.Stats) -> None:
    kinship, number = measured.families
    assert kinship.top_answers == [("Seth", 3), ("Jesus", 2), ("Methuselah", 1)]
    assert (kinship.answers, kinship.median_words, kinship.longest_words) == (4, 1, 2)
    assert (number.median_words, number.longest_words) == (4, 4)


def test_the_same_question_on_the_same_context_is_a_duplicate(measured: stats.Stats) -> None:
    assert measured.duplicates == 2


def test_leakage_is_found_where_it_is_and_test_may_know_the_anchors(measured: stats.Stats) -> None:
    # Label, verse and question are 16 words without the article: 7 runs of ten.
    assert measured.leakage == [
        Leakage("train", "val", questions=1, verses=1, chapters=1, shingles=7, told=1),
        Leakage("train", "test", questions=0, verses=1, chapters=1, shingles=0, told=0),
        Leakage("train", "anchors", questions=1, verses=1, chapters=2, shingles=0, told=1),
        Leakage("val", "test", questions=0, verses=0, chapters=0, shingles=0, told=0),
        Leakage("val", "anchors", questions=0, verses=0, chapters=1, shingles=0, told=0),
    ]


def test_a_line_of_a_dictionary_tells_an_answer_that_ten_words_in_a_row_do_not() -> None:
    lines = "H3 'êb: green plant\nH2 'ab: father"
    splits = {
        "train": [item("1", lines, "What is H3?", "green plant")],
        "test": [item("2", lines, "What is H2?", "father")],
    }
    (pair,) = stats.measure(splits).leakage
    assert (pair.shingles, pair.told) == (0, 1)


def test_case_and_the_turns_before_make_another_question() -> None:
    one = item("1", VERSE, "Who is LORD?", "x")
    assert asked(one) == asked(item("2", VERSE.replace(" ", "  "), "Who is LORD? ", "y"))
    assert asked(one) != asked(item("1", VERSE, "Who is Lord?", "x"))
    assert asked(one) != asked(Item("1", VERSE, "Who is LORD?", "x", history=(Turn("Who?", "Seth"),)))


def test_the_built_dataset_does_not_leak(dataset: dict[str, list[Item]]) -> None:
    for pair in stats.measure(dataset).leakage:
        assert (pair.questions, pair.verses, pair.shingles, pair.told) == (0, 0, 0, 0), pair
        assert pair.chapters == 0 or pair.other == "anchors", pair


def test_tables_show_all_of_it_whatever_is_in_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"train": [item("1", "", "Which?", "[/red] [x]", "[odd]")]}
    stats.show(stats.measure({**SPLITS, **odd}), Console(width=120))
    out = capsys.readouterr().out
    assert "[/red] [x] (1)" in out
    assert "[odd]" in out
    assert "Seth (2), Methuselah (1)" in out
    assert "val, anchors" in out


def test_the_picture_is_a_picture(measured: stats.Stats, tmp_path: Path) -> None:
    from matplotlib.image import imread

    stats.picture(measured, "mine", tmp_path / "a.png")
    height, width, _ = imread(tmp_path / "a.png").shape
    assert width > height > 100
