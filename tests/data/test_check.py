import codecs
from pathlib import Path

import pytest
from rich.console import Console

from bibleqa.data import check
from bibleqa.data.item import Item, Turn
from bibleqa.errors import ConfigError

SETH = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:"
WEPT = "[John 11:35] Jesus wept."
GOOD = Item("1", SETH, "Who begat Enos?", "Seth")


def write(path: Path, *lines: Item | str) -> Path:
    rows = [line.to_json() if isinstance(line, Item) else line for line in lines]
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def problems(*paths: Path) -> list[tuple[str, int, str]]:
    return [(f.path.name, p.line, p.kind) for f in check.check(paths) for p in f.problems]


def test_good_files_have_no_problems(tmp_path: Path) -> None:
    train = write(
        tmp_path / "train.jsonl",
        GOOD,
        "",
        Item("2", SETH, "How many years had he lived?", "105", variants=("an hundred and five",)),
    )
    test = write(tmp_path / "test.jsonl", Item("3", WEPT, "Who wept?", "Jesus"))
    assert problems(train, test) == []


def test_a_byte_order_mark_and_crlf_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + GOOD.to_json().encode() + b"\r\n")
    assert problems(path) == []


def test_every_malformed_line_is_named_with_its_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "{", GOOD, "[]", '{"id": "x", "question": "Who?", "answer": " "}')
    with path.open("ab") as file:
        file.write(b"\xff\n")
    (file_,) = check.check([path])
    assert [(p.line, p.kind) for p in file_.problems] == [(n, "malformed") for n in (1, 3, 4, 5)]
    for problem, reason in zip(
        file_.problems, ("not JSON", "expected an object", '"answer"', "not UTF-8"), strict=True
    ):
        assert reason in problem.text
    assert [line for line, _ in file_.items] == [2]


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (Item("1", SETH, "Who?", "The…"), "empty answer"),
        (Item("1", SETH, "Who begat Enos?", "Adam"), "not in context"),
        (Item("1", SETH, "How many?", "5"), "not in context"),
        (Item("1", SETH, "Did Seth beget Enos?", "Seth"), "given away"),
        (Item("1", SETH, "Was it Seth?", "he", variants=("Seth",)), "given away"),
    ],
)
def test_what_may_be_wrong_with_one_question(tmp_path: Path, item: Item, kind: str) -> None:
    assert (("a.jsonl", 1, kind)) in problems(write(tmp_path / "a.jsonl", item))


def test_a_closed_book_answer_and_one_from_the_history_are_as_they_should_be(tmp_path: Path) -> None:
    closed = Item("1", "", "Who built the ark?", "Noah", open_book=False)
    told = Item("2", WEPT, "And before?", "Lazarus", history=(Turn("Who had died?", "Lazarus"),))
    assert problems(write(tmp_path / "a.jsonl", closed, told)) == []


def test_the_same_twice_in_a_file(tmp_path: Path) -> None:
    again = Item("2", GOOD.context, GOOD.question, "Seth")
    path = write(
        tmp_path / "a.jsonl",
        GOOD,
        Item("1", WEPT, "Who wept?", "Jesus"),
        again,
        Item("3", SETH, "Who was the father of Enos?", "Seth"),
    )
    (file,) = check.check([path])
    assert [(p.line, p.kind) for p in file.problems] == [(2, "twice"), (3, "twice")]
    assert file.problems[0].text == f'the id "1" stands in {path}:1 too'
    assert "the same question on the same context" in file.problems[1].text


def test_what_leaks_from_one_file_into_another(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", Item("0", WEPT, "What did Jesus do?", "wept"), GOOD)
    test = write(
        tmp_path / "test.jsonl",
        Item("1", WEPT, "Who wept?", "Jesus"),
        Item("2", SETH, GOOD.question, "Seth"),
        Item("3", SETH, "Who was the father of Enos?", "Seth"),
        Item("4", WEPT, "Of whom is it said?", "Jesus"),
    )
    one, other = check.check([train, test])
    assert one.problems == []
    assert [(p.line, p.kind) for p in other.problems] == [(1, "leaks"), (2, "leaks"), (3, "leaks")]
    assert other.problems[2].text == f"10 words in a row stand in {train}:2 too"


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none.jsonl: No such file"):
        check.check([write(tmp_path / "a.jsonl", GOOD), tmp_path / "none.jsonl"])


def test_a_file_without_questions_is_a_problem(tmp_path: Path) -> None:
    assert problems(write(tmp_path / "a.jsonl", "")) == [("a.jsonl", 1, "malformed")]


def test_many_problems_are_counted_and_the_first_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", *["{"] * 25)
    check.show(check.check([path]), Console(width=200))
    out = capsys.readouterr().out
    assert out.count(": malformed: not JSON") == 20
    assert f"{path}: and 5 problems more" in out
    assert [cell.strip() for cell in next(line for line in out.splitlines() if "│ malformed" in line).split("│")] == [
        "",
        "malformed",
        "25",
        "",
    ]
