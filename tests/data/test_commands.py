"""`bibleqa data …`: what the commands print, write and exit with."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibleqa import cli
from bibleqa.data import sources
from bibleqa.data.corpora import debian, stepbible
from bibleqa.data.corpora.records import Reading, Word
from bibleqa.data.item import Item
from bibleqa.data.store import Source
from bibleqa.schema import CorpusConfig

SETH = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:"


@pytest.fixture
def mine(project: Path) -> list[str]:
    """Overrides for a dataset of one's own."""
    for split, text in (("train", SETH), ("val", "[John 11:35] Jesus wept."), ("test", "[Jude 1:3] Beloved, when I")):
        items = [Item(f"{split} {n}", text, f"Question {n}?", text.split()[2], type=f"kind{n % 2}") for n in range(8)]
        (project / f"{split}.jsonl").write_text("".join(f"{i.to_json()}\n" for i in items), encoding="utf-8")
    return ["dataset=jsonl", *(f"dataset.{split}={project / split}.jsonl" for split in ("train", "val", "test"))]


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One source with ten rows, two of which cannot be read."""

    def read(reading: Reading) -> Iterator[Word]:
        for line in range(1, 11):
            with reading.row(line):
                if line > 8:
                    raise ValueError("the line is truncated")
                yield Word("tahot", line * 1_000_000 + 1001, 1, "אֱלֹהִים", "H430")

    def available(corpus: CorpusConfig) -> Iterator[Source]:
        yield Source("stepbible/tahot", "1", read, Path("TAHOT.txt"))

    monkeypatch.setattr(sources, "available", available)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(["data", *argv])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.usefixtures("at_hand")
def test_build_says_what_went_in_and_what_did_not(
    mine: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "build", *mine, "corpus.max_rejects=0.2")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("stepbible/tahot: 8 records, 2 rejects, ")
    assert lines[1:3] == [f"  TAHOT.txt:{line}: the line is truncated" for line in (9, 10)]
    assert lines[3] == f"corpus built: {project / 'data' / 'corpus.sqlite'}"
    assert lines[4].startswith("dataset jsonl: 8 train, 8 val, 8 test, ")

    code, out, _ = run(capsys, "build", *mine, "corpus.max_rejects=0.2")
    assert code == 0
    assert out.startswith("corpus up to date: ")


@pytest.mark.usefixtures("at_hand")
def test_build_refuses_too_many_rejects(mine: list[str], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "build", *mine)
    assert code == 2
    assert err.startswith("bibleqa: TAHOT.txt:9: the line is truncated (2 of 10 rows")
    assert not (project / "data" / "corpus.sqlite").exists()


@pytest.mark.usefixtures("at_hand")
def test_terms_are_reported_from_the_store(mine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "terms")
    assert code == 2
    assert "there is no corpus yet; build it: bibleqa data build" in err

    run(capsys, "build", *mine, "corpus.max_rejects=0.2")
    code, out, _ = run(capsys, "terms")
    assert code == 0
    assert "tahot has 8 of 39 books" in out

    code, out, _ = run(capsys, "terms", "--books")
    assert code == 0
    assert "Judges 1" in " ".join(out.replace("│", " ").split())


def test_a_term_that_is_missed_is_exit_1(
    mine: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(reading: Reading) -> Iterator[Word]:
        for book in range(1, 40):
            with reading.row(book):
                yield Word("tahot", book * 1_000_000 + 1001, 1, "אֱלֹהִים", "H430")

    monkeypatch.setattr(sources, "available", lambda corpus: iter([Source("tahot", "1", read, Path("TAHOT.txt"))]))
    run(capsys, "build", *mine)
    code, out, _ = run(capsys, "terms")
    assert code == 1
    assert "elohim (H430) stands 39 times in tahot, and should 2,597 times or more" in out


@pytest.mark.usefixtures("project")
def test_terms_need_a_metric_that_has_some(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "terms", "metric=exact_match")
    assert code == 2
    assert "metric=exact_match: it has no critical terms" in err


def test_stats_are_shown_and_written(mine: list[str], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", str(project / "s.json"), "--picture", str(project / "s.png")]
    code, out, _ = run(capsys, "stats", *files, *mine)
    assert code == 0
    assert "train, test" in out
    figures = json.loads((project / "s.json").read_text(encoding="utf-8"))
    assert figures["counts"] == {"train": 8, "val": 8, "test": 8}
    assert [family["name"] for family in figures["families"]] == ["kind0", "kind1"]
    assert (project / "s.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_another_format_is_refused(mine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "stats", "--picture", "s.tiff", *mine)
    assert code == 2
    assert "ends in .png" in err


def test_samples_depend_on_the_seed_alone(mine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sample", "-n", "3", "--split", "train", *mine)
    assert code == 0
    assert out.count("question: ") == 3
    assert SETH in out
    assert "answer:   And" in out
    assert run(capsys, "sample", "-n", "3", "--split", "train", *mine)[1] == out
    assert run(capsys, "sample", "-n", "3", "--split", "train", "--seed", "1", *mine)[1] != out


def test_samples_of_a_family(mine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sample", "--type", "kind1", "-n", "99", *mine)
    assert code == 0
    assert sorted(line for line in out.splitlines() if "question" in line) == [
        f"question: Question {n}?" for n in (1, 3, 5, 7)
    ]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--type", "kinship"], "--type kinship: test has kind0, kind1"),
        (["--split", "anchors"], "--split anchors: this dataset has train, val, test"),
        (["-n", "0"], "-n 0: must be 1 or more"),
    ],
)
def test_samples_that_cannot_be(
    mine: list[str], capsys: pytest.CaptureFixture[str], argv: list[str], reason: str
) -> None:
    code, out, err = run(capsys, "sample", *argv, *mine)
    assert (code, out) == (2, "")
    assert err == f"bibleqa: {reason}\n"


def test_check_exits_by_what_it_finds(mine: list[str], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = project / "bad.jsonl"
    bad.write_text("{\n", encoding="utf-8")
    code, out, _ = run(capsys, "check", str(bad))
    assert code == 1
    assert out.startswith(f"{bad}:1: malformed: not JSON")

    good = project / "good.jsonl"
    good.write_text(Item("1", SETH, "Who begat Enos?", "Seth").to_json() + "\n", encoding="utf-8")
    assert run(capsys, "check", str(good))[0] == 0

    code, _, err = run(capsys, "check", str(good), str(project / "none.jsonl"))
    assert code == 2
    assert "none.jsonl: No such file" in err


def test_fetch_says_where_it_is_and_what_is_next(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIBLEQA_CACHE", str(project / "cache"))
    monkeypatch.setattr(debian, "fetch_sword", lambda folder: folder)
    monkeypatch.setattr(stepbible, "fetch", lambda folder: folder)
    code, out, _ = run(capsys, "fetch", "sword")
    assert (code, out) == (0, f"SWORD modules are in {project / 'cache' / 'sword'}; now: bibleqa data build\n")
    code, out, _ = run(capsys, "fetch", "stepbible", f"corpus.stepbible_path={project / 'step'}")
    assert code == 0
    assert out.endswith(f"bibleqa data build corpus.stepbible_path={project / 'step'}\n")
