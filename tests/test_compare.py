"""Where two runs differ, and what is said where they cannot be compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from dummies import FOLLOW_UP, item
from past_runs import make, question

from bibleqa import cli, evaluation
from bibleqa import program as programs
from bibleqa.results import compare

Run = Callable[..., tuple[int, str, str]]
SIGNATURE = {"instructions": "Answer.", "fields": []}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def of(*argv: object) -> tuple[int, str, str]:
        code = cli.main(["compare", *map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return of


def test_the_digest_of_inputs_is_that_of_predictions() -> None:
    for one in (question(1), item(1), item(2, history=FOLLOW_UP, context='It\'s "so": אלהים\n')):
        assert compare.inputs_digest(one) == evaluation._inputs_digest(programs.example(one))


def test_only_what_differs_of_the_configs_is_told(project: Path) -> None:
    a = make(project, "optimizer=knn", "optimizer.k=3")
    b = make(project, "optimizer=none", "assertions.checks={}")
    found = compare.compare(a, b)
    assert found.config == {"optimizer.name": ("knn", "none"), "optimizer.k": ("3", "-")}


def test_scores_are_compared_question_by_question(project: Path) -> None:
    a = make(project, scores=[1.0, 1.0, 0.0, 0.0])
    b = make(project, scores=[1.0, 0.0, 1.0, 1.0])
    found = compare.compare(a, b)
    assert (found.difference.value, found.difference.n, found.same_questions) == (0.25, 4, True)
    assert {name: one.value for name, one in found.by_type.items()} == {"type0": 0.5, "type1": 0.0}
    assert [one.id for one in found.only_a] == ["q1"]
    assert [one.id for one in found.only_b] == ["q2", "q3"]
    assert [(one.a, one.b) for one in found.only_a] == [("answer 1", "wrong q1")]


def test_right_is_cut_at_half_and_the_widest_gap_stands_first(project: Path) -> None:
    a = make(project, scores=[0.6, 1.0, 0.5, 0.9])
    b = make(project, scores=[0.4, 0.0, 0.6, None])
    assert [one.id for one in compare.compare(a, b).only_a] == ["q1", "q0"]


def test_of_different_questions_only_the_common_ones_are_compared(project: Path, run: Run) -> None:
    a = make(project, scores=[1.0, 1.0, 0.0])
    others = [question(1), replace(question(2), context="another verse"), question(7)]
    b = make(project, scores=[0.0, 1.0, 1.0], questions=others)
    found = compare.compare(a, b)
    assert (found.difference.value, found.difference.n, found.same_questions) == (-1.0, 1, False)
    out = run(a.path, b.path)[1]
    assert "The runs were asked different questions; what follows is of the 1 that both have." in out


def test_without_a_common_question_it_says_so(project: Path, run: Run) -> None:
    a, b = make(project, scores=[1.0]), make(project, scores=[1.0], questions=[question(9)])
    code, out, _ = run(a.path, b.path)
    assert code == 0
    assert "no question in common: there is nothing to compare" in out


def test_questions_are_shown_where_they_are_as_they_were_asked(project: Path, run: Run) -> None:
    a, b = make(project, scores=[1.0, 1.0]), make(project, scores=[0.0, 0.0])
    processed = project / "data" / "processed" / "kjv"
    processed.mkdir(parents=True)
    changed = replace(question(1), context="another verse")
    (processed / "test.jsonl").write_text(question(0).to_json() + "\n" + changed.to_json() + "\n")
    out = run(a.path, b.path)[1]
    assert "Question 0?" in out
    assert "expected 'answer 0'" in out
    assert "Question 1?" not in out
    assert "  q1 (type1)\n    A said 'answer 1'\n    B said 'wrong q1'\n" in out


def test_questions_of_ones_own_files_are_shown(project: Path, run: Run) -> None:
    (project / "my.jsonl").write_text(question(0).to_json() + "\n")
    a = make(project, f"dataset.test={project / 'my.jsonl'}", scores=[1.0])
    b = make(project, scores=[0.0])
    assert "Question 0?" in run(a.path, b.path)[1]


def test_many_examples_are_shown_when_asked_for(project: Path, run: Run) -> None:
    a, b = make(project, scores=[1.0] * 12), make(project, scores=[0.0] * 12)
    out = run(a.path, b.path)[1]
    assert out.count("A said") == 10
    assert "and 2 more; --all shows every one" in out
    assert run(a.path, b.path, "--all")[1].count("A said") == 12


def test_programs_stand_side_by_side(project: Path, run: Run) -> None:
    demos = [{"question": f"Who is {n}?", "answer": f"Name{n}"} for n in range(7)]
    a = make(project, program={"signature": SIGNATURE, "demos": []})
    b = make(project, program={"signature": {**SIGNATURE, "instructions": "Say [it] well."}, "demos": demos})
    assert compare.predictors(b)["predict"].demos[0] == "Who is 0? → Name0"
    out = run(a.path, b.path)[1]
    for text in ("Answer.", "Say [it] well.", "Who is 0? → Name0", "and 2 more", "none"):
        assert text in out
    assert "program: the same" in run(a.path, a.path)[1]


def test_programs_of_several_predictors_and_of_nearest_demos_are_read(project: Path) -> None:
    pool = {"demos": [{"question": "Who?", "answer": "Seth"}], "k": 1}
    state = {"module.predict": {"signature": SIGNATURE, "demos": []}, "nearest": pool, "metadata": {}, "bibleqa": {}}
    found = compare.predictors(make(project, program=state))
    assert found == {"module.predict": compare.Predictor("Answer.", ["Who? → Seth"])}
    assert compare.predictors(make(project)) == {}


def test_a_run_is_meant_by_the_beginning_of_its_fingerprint(project: Path, run: Run) -> None:
    a, b = make(project), make(project)
    code, out, _ = run(a.fingerprint[:8], b.fingerprint)
    assert code == 0
    assert out.splitlines()[:2] == [f"A  {a.place}  {a.fingerprint[:8]}", f"B  {b.place}  {b.fingerprint[:8]}"]


def test_a_failed_run_is_said_to_be_one(project: Path, run: Run) -> None:
    a = make(project, status="failed", failure="the endpoint failed on 2 of 4 questions")
    assert "this run has failed: the endpoint failed on 2 of 4 questions" in run(a.path, a.path)[1]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda folder: (folder / "summary.json").unlink(), "the run has not ended, there is no summary.json"),
        (lambda folder: (folder / "config.yaml").unlink(), "not a run folder, it has no config.yaml"),
        (lambda folder: (folder / "summary.json").write_text('{"schema": 9}'), "written by a newer version"),
        (lambda folder: (folder / "summary.json").write_text("{"), "summary.json cannot be read"),
        (lambda folder: (folder / "summary.json").write_text("[]"), "summary.json cannot be read"),
        (lambda folder: (folder / "summary.json").write_text("{}"), "not a run's summary"),
        (lambda folder: (folder / "config.yaml").write_text("a: ]"), "config.yaml cannot be read"),
        (lambda folder: (folder / "program.json").write_text("{"), "program.json cannot be read"),
    ],
)
def test_what_is_no_ended_run_is_refused_in_a_line(
    project: Path, run: Run, change: Callable[[Path], object], complaint: str
) -> None:
    good, bad = make(project), make(project)
    change(bad.path)
    code, _, err = run(good.path, bad.path)
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err


@pytest.mark.parametrize("reference", ["nowhere", "abc", "", "0123456789abcdef"])
def test_what_is_neither_folder_nor_fingerprint_is_refused_in_a_line(project: Path, run: Run, reference: str) -> None:
    code, _, err = run(make(project).path, reference)
    assert (code, err.count("\n")) == (2, 1)


def test_an_ambiguous_fingerprint_is_refused(project: Path, run: Run) -> None:
    runs = [make(project, fingerprint=f"abcdef12{n}") for n in range(2)]
    code, _, err = run(runs[0].path, "abcdef12")
    assert (code, err.count("\n")) == (2, 1)
    assert json.loads((runs[0].path / "summary.json").read_text())["fingerprint"] == "abcdef120"
