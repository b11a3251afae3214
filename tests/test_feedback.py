"""What people say of answers, and how a run learns from it."""

import json
import threading
from pathlib import Path
from typing import Any

import fake_openai
import pytest
from project import Project, end

from bibleqa import cli, config, feedback
from bibleqa.data import slices
from bibleqa.data.item import Item, Turn
from bibleqa.data.reader import read_items
from bibleqa.errors import ConfigError


def say(number: int, **values: Any) -> feedback.Kept:
    """A thumb up for a good answer on a chapter of its own."""
    name = f"Name{number}"
    given = {
        "question": f"Who begat {name}?",
        "context": f"[Book {number}:1] And Father{number} begat {name}.",
        "history": (),
        "answer": f"Father{number}",
        "thumb": "up",
        "reference": f"Book {number}:1",
    }
    return feedback.keep(**{**given, **values})


def kept(project: Path) -> list[Item]:
    return list(read_items(project / "data" / "feedback" / "feedback.jsonl"))


def thumbs(project: Path) -> list[dict[str, Any]]:
    lines = (project / "data" / "feedback" / "thumbs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_thumb_up_and_a_correction_say_what_is_right(project: Path) -> None:
    assert say(1).learnable
    assert say(2, answer="Nobody", thumb="down", correction=" Father2 ").learnable
    assert not say(3, answer="Nobody", thumb="down", served="best").learnable
    assert [(item.answer, item.type, item.reference, item.open_book) for item in kept(project)] == [
        ("Father1", "feedback", "Book 1:1", True),
        ("Father2", "feedback", "Book 2:1", True),
    ]
    assert [(one["thumb"], one["answer"]) for one in thumbs(project)] == [
        ("up", "Father1"),
        ("down", "Nobody"),
        ("down", "Nobody"),
    ]
    assert thumbs(project)[2]["served"] == "best"


def test_an_answer_that_is_right_may_be_put_better(project: Path) -> None:
    say(1, answer="It was Father1", correction="Father1")
    (item,) = kept(project)
    assert item.accepted == ("Father1", "It was Father1")


def test_what_is_said_again_takes_the_place_of_what_was_said_before(project: Path) -> None:
    first = say(1)
    say(2)
    assert say(1, answer="Nobody", thumb="down", correction="The Father1").id == first.id
    assert [(item.id == first.id, item.answer) for item in kept(project)] == [(True, "The Father1"), (False, "Father2")]
    say(2, thumb="down")
    assert [item.answer for item in kept(project)] == ["The Father1"]
    say(2, thumb="down")
    assert len(thumbs(project)) == 3


def test_another_wrong_answer_takes_nothing_from_a_right_one(project: Path) -> None:
    say(1)
    say(1, answer="Nobody", thumb="down")
    assert [item.answer for item in kept(project)] == ["Father1"]


def test_a_question_with_another_history_is_another_question(project: Path) -> None:
    ids = {say(1).id, say(1, history=[Turn("Who was first?", "Adam")]).id, say(1, context="").id}
    assert len(ids) == len(kept(project)) == 3
    assert kept(project)[1].history == (Turn("Who was first?", "Adam"),)
    assert not kept(project)[2].open_book


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"question": " "}, "question: is empty"),
        ({"question": "x" * 2_001}, "question: 2,001 characters; at the most 2,000"),
        ({"context": "x" * 20_001}, "context: 20,001 characters"),
        ({"correction": "x" * 2_001}, "correction: 2,001 characters"),
        ({"answer": "..."}, "answer: has no word"),
        ({"correction": "?!"}, "correction: has no word"),
        ({"history": [Turn("a", "b")] * 51}, "history: 51 turns"),
        ({"history": [Turn("", "b")]}, "a turn of the history is"),
        ({"thumb": "sideways"}, "neither up nor down"),
        ({"question": "who \ud800?"}, "no text"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(
    project: Path, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        say(1, **values)
    assert not (project / "data").exists()


def test_everybody_at_once_is_heard(project: Path) -> None:
    threads = [threading.Thread(target=say, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.answer for item in kept(project)} == {f"Father{number}" for number in range(20)}


def test_odd_texts_are_texts_and_no_secret_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")
    odd = '{"_target_": "os.system"} ${oc.env:HOME} endpoint.model=other ../../x\n<b>\x1b[2J "quoted"'
    say(1, question=odd, answer=f"yes {odd}", context="", reference=odd)
    say(2, correction="it is sk-marked-0123456789")
    first, second = kept(project)
    assert (first.question, first.answer, first.reference) == (odd, f"yes {odd}", odd)
    assert "sk-marked" not in second.to_json()
    assert sorted(path.name for path in (project / "data").rglob("*") if path.is_file() and path.name[0] != ".") == [
        "feedback.jsonl",
        "thumbs.jsonl",
    ]


def own_test(project: Path, *numbers: int) -> str:
    """A test file that asks what the feedback of these numbers was about."""
    file = project / "test.jsonl"
    items = [Item(f"t{n}", f"[Book {n}:1] And Father{n} begat Name{n}.", f"Who begat Name{n}?", "x") for n in numbers]
    file.write_text("".join(f"{item.to_json()}\n" for item in items), encoding="utf-8")
    return f"dataset.test={file}"


def load(*overrides: str) -> slices.Dataset:
    composed = config.compose(["dataset=feedback", *overrides])
    return slices.load(composed.dataset, composed.corpus)


def test_a_run_learns_from_feedback_and_is_tested_on_something_else(project: Path) -> None:
    for number in range(12):
        say(number)
    dataset = load(own_test(project, 3, 99))
    answers = {split: {item.answer for item in items} for split, items in dataset.splits.items()}
    assert answers["train"] | answers["val"] == {f"Father{n}" for n in range(12) if n != 3}
    assert not answers["train"] & answers["val"]
    assert len(answers["val"]) == 3
    assert [item.id for item in dataset.test] == ["t3", "t99"]


def test_the_order_in_which_feedback_came_makes_no_difference(project: Path) -> None:
    for number in range(12):
        say(number)
    first = load(own_test(project, 99))
    file = project / "data" / "feedback" / "feedback.jsonl"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert load(own_test(project, 99)).digest == first.digest


def test_the_questions_of_a_chapter_stay_together(project: Path) -> None:
    for number in range(12):
        say(number, reference=f"Book {number % 3}:{number}")
    dataset = load(own_test(project, 99))
    chapters = [{item.reference.partition(":")[0] for item in items} for items in (dataset.train, dataset.val)]
    assert not chapters[0] & chapters[1]


def test_too_little_feedback_is_said_with_how_much_is_needed(project: Path) -> None:
    with pytest.raises(ConfigError, match="0 items of feedback so far; 10 are needed"):
        load(own_test(project, 3))
    for number in range(10):
        say(number)
    with pytest.raises(ConfigError, match="10 items of feedback so far, 1 of them near the test; 10 are needed"):
        load(own_test(project, 3))
    assert load(own_test(project, 3), "dataset.minimum=9").train


def test_feedback_on_one_chapter_cannot_be_split(project: Path) -> None:
    for number in range(10):
        say(number, reference=f"Genesis 5:{number + 1}")
    with pytest.raises(ConfigError, match="on two chapters or more"):
        load(own_test(project, 99))


@pytest.mark.slow
def test_the_hand_written_questions_are_the_test_unless_another_is_given(project: Path) -> None:
    for number in range(10):
        say(number)
    dataset = load()
    assert dataset.anchors == len(dataset.test) > 50


def test_stats_and_check_take_feedback(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        say(number)
    assert cli.main(["data", "stats", "dataset=feedback", own_test(project, 99)]) == 0
    assert "feedback" in capsys.readouterr().out
    assert cli.main(["data", "check", str(project / "data" / "feedback" / "feedback.jsonl")]) == 0


def test_a_run_on_feedback_is_made_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_openai.running(lambda asked: "Father1") as server:
        project = Project(tmp_path, server.base_url)
        monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))
        for number in range(12):
            say(number)
        given = ["endpoint=openai", f"endpoint.base_url={server.base_url}", f"endpoint.model={fake_openai.MODEL}"]
        chosen = ["dataset=feedback", own_test(tmp_path, 99), "optimizer=labeled", "tracking=none"]
        finished = end(project.start_bare(*given, *chosen))
    assert finished.code == 0, finished.err
    assert project.last.summary["slice"] == {"train": 9, "val": 3, "test": 1, "anchors": 0}
