"""What a leaderboard says of runs that there are, and what it says where there are none."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import past_runs
import pytest
from past_runs import LM, make, make_sweep

from bibleqa import cli
from bibleqa.results import figures, leaderboard
from bibleqa.results.past import PastRun

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def of(*argv: str) -> tuple[int, str, str]:
        code = cli.main(["leaderboard", *argv])
        out, err = capsys.readouterr()
        return code, out, err

    return of


def combinations(board: leaderboard.Leaderboard) -> list[list[str]]:
    return [[entry.combination for entry in standing.entries] for standing in board.standings]


def test_the_best_stands_first_and_what_differs_is_named(project: Path) -> None:
    make(project, "optimizer=none", scores=[1.0, 0.0, 0.0, 0.0])
    make(project, "optimizer=bootstrap", "assertions=strict", scores=[1.0, 1.0, 1.0, 0.0])
    make(project, "optimizer=knn", scores=[1.0, 1.0, 0.0, 0.0])
    (standing,) = leaderboard.of_project().standings
    assert [entry.combination for entry in standing.entries] == [
        "optimizer=bootstrap assertions=strict",
        "optimizer=knn assertions=none",
        "optimizer=none assertions=none",
    ]
    assert [entry.rank for entry in standing.entries] == [1, 2, 3]
    assert standing.name == "dataset=kjv (4 questions, dddddddd), metric=contains"


def test_equal_scores_share_a_rank_and_the_cheaper_stands_first(project: Path) -> None:
    for option, tokens in (("knn", 900), ("none", 500), ("bootstrap", 100)):
        scores = [0.0, 0.0] if option == "bootstrap" else [1.0, 0.0]
        make(project, f"optimizer={option}", scores=scores, lm={**LM, "input_tokens": tokens})
    (standing,) = leaderboard.of_project().standings
    assert [(e.rank, e.combination, e.pareto) for e in standing.entries] == [
        (1, "optimizer=none", True),
        (1, "optimizer=knn", False),
        (3, "optimizer=bootstrap", True),
    ]


def test_a_difference_to_the_best_is_paired_and_corrected(project: Path) -> None:
    make(project, "optimizer=gepa", scores=[1.0] * 12)
    make(project, "optimizer=none", scores=[0.0] * 12)
    make(project, "optimizer=knn", scores=[1.0] * 11 + [0.0])
    (standing,) = leaderboard.of_project().standings
    best, near, far = standing.entries
    assert (best.to_best, best.p, best.differs) == (None, None, False)
    assert near.to_best
    assert far.to_best
    assert (near.to_best.value, near.to_best.n, near.p, near.differs) == (pytest.approx(-1 / 12), 12, 1.0, False)
    assert far.to_best.p == pytest.approx(2 / 2**12)
    assert (far.p, far.differs) == (pytest.approx(2 * 2 / 2**12), True)


def test_keys_that_only_an_option_has_stand_beside_it(project: Path) -> None:
    make(project, "optimizer=knn", "optimizer.k=3", scores=[1.0, 1.0])
    make(project, "optimizer=knn", "optimizer.k=5", scores=[1.0, 0.0])
    make(project, "optimizer=none", scores=[0.0, 0.0])
    assert combinations(leaderboard.of_project()) == [
        ["optimizer=knn optimizer.k=3", "optimizer=knn optimizer.k=5", "optimizer=none"]
    ]


def test_what_cannot_change_a_result_is_not_named_but_other_weights_are(project: Path) -> None:
    make(project, "optimizer=none", "endpoint.timeout=60", "tracking=local", scores=[1.0])
    make(project, "optimizer=knn", "endpoint.timeout=90", "endpoint.adapter=a.gguf", scores=[0.0])
    assert combinations(leaderboard.of_project()) == [
        ["endpoint.adapter=null optimizer=none", "endpoint.adapter=a.gguf optimizer=knn"]
    ]


def test_a_helper_that_only_one_run_has_is_named(project: Path) -> None:
    make(project, scores=[1.0])
    make(project, "judge=lm_studio", scores=[0.0])
    assert combinations(leaderboard.of_project()) == [["judge=null", "judge=lm_studio"]]


def test_other_questions_and_other_metrics_are_other_tables(project: Path) -> None:
    make(project, "optimizer=none", scores=[1.0])
    make(project, "optimizer=knn", scores=[0.0])
    make(project, "dataset=strongs", dataset_digest="e" * 64)
    make(project, "metric.slack_words=2")
    names = [standing.name for standing in leaderboard.of_project().standings]
    assert names == [
        "dataset=kjv (1 question, dddddddd), metric=contains, metric.slack_words=6",
        "dataset=kjv (4 questions, dddddddd), metric=contains, metric.slack_words=2",
        "dataset=strongs (4 questions, eeeeeeee), metric=contains, metric.slack_words=6",
    ]


def test_by_splits_further(project: Path, run: Run) -> None:
    for endpoint in ("embedded", "openai"):
        for seed in (0, 1):
            make(project, f"endpoint={endpoint}", f"optimizer.seed={seed}", scores=[1.0 - seed])
    assert combinations(leaderboard.of_project(["endpoint"])) == [["optimizer.seed=0", "optimizer.seed=1"]] * 2
    assert len(leaderboard.of_project(["endpoint", "optimizer.seed"]).standings) == 4
    code, _, err = run("--by", "endpoint,optimizer.sed")
    assert (code, err.count("\n")) == (2, 1)
    assert "--by optimizer.sed: no run has that" in err


def test_tokens_of_the_cache_count_and_where_they_are_not_known_calls_do(project: Path) -> None:
    known = {**LM, "cached_calls": 50, "cached_input_tokens": 300, "cached_output_tokens": 30}
    make(project, "optimizer=none", lm=known)
    (standing,) = leaderboard.of_project().standings
    assert (standing.best.run.tokens, standing.cost) == (1530, "tokens")
    make(project, "optimizer=knn", lm={**LM, "cached_calls": 50, "calls": 70})
    (standing,) = leaderboard.of_project().standings
    assert (standing.cost, [standing.cost_of(e.run) for e in standing.entries]) == ("LM calls", [70, 100])
    assert figures.tokens(standing.best.run) == "1,200+"


def test_contributions_are_those_of_the_groups_that_were_varied(project: Path) -> None:
    for optimizer, assertions, right in (
        ("none", "none", 0),
        ("none", "strict", 1),
        ("knn", "none", 2),
        ("knn", "strict", 3),
    ):
        scores = [1.0] * right + [0.0] * (4 - right)
        make(project, f"optimizer={optimizer}", f"assertions={assertions}", scores=scores)
    (standing,) = leaderboard.of_project().standings
    found = {f"{one.group}={one.option}": (one.value, one.contexts, one.runs) for one in standing.contributions}
    assert found == {
        "optimizer=knn": (0.25, 2, 2),
        "optimizer=none": (-0.25, 2, 2),
        "assertions=strict": (0.125, 2, 2),
        "assertions=none": (-0.125, 2, 2),
    }


def test_removed_and_failed_runs_are_no_part_of_it(project: Path) -> None:
    make(project, "optimizer=none")
    shutil.rmtree(make(project, "optimizer=knn").path)
    make(project, "optimizer=gepa", status="failed")
    assert combinations(leaderboard.of_project()) == [["optimizer=none"]]


def sweep(project: Path) -> Path:
    jobs: list[tuple[list[str], str | None]] = []
    for seed in (0, 1):
        overrides = ["program=predict", "optimizer=none", f"optimizer.seed={seed}"]
        jobs.append((overrides, make(project, *overrides, scores=[1.0 - seed]).fingerprint))
    jobs.append((["program=predict", "optimizer=gepa", "optimizer.seed=0"], "a" * 64))
    jobs.append((["program=predict", "optimizer=gepa", "optimizer.seed=1"], None))
    make(project, "optimizer=labeled")
    return make_sweep(project, jobs)


def test_of_a_sweep_the_combination_is_what_its_jobs_were_told(project: Path, run: Run) -> None:
    board = leaderboard.of_sweep(sweep(project))
    assert combinations(board) == [["optimizer=none optimizer.seed=0", "optimizer=none optimizer.seed=1"]]
    assert (board.jobs, len(board.unfinished)) == (4, 2)
    missing = "2 of 4 jobs have no result: optimizer=gepa optimizer.seed=0; optimizer=gepa optimizer.seed=1"
    assert run("--sweep", "latest")[1].rstrip().endswith(missing)
    assert missing in run("--sweep", "latest", "--format", "csv")[2]
    assert json.loads(run("--sweep", "latest", "--format", "json")[1])["unfinished"] == board.unfinished


def test_two_jobs_of_one_fingerprint_are_one_run(project: Path) -> None:
    fingerprint = make(project).fingerprint
    folder = make_sweep(project, [(["tracking=none"], fingerprint), (["tracking=local"], fingerprint)])
    assert [len(standing.entries) for standing in leaderboard.of_sweep(folder).standings] == [1]


def test_the_latest_sweep_is_the_latest_by_name(project: Path) -> None:
    names = ("09-00-00", "12-00-00", "10-00-00")
    folders = [make_sweep(project, [([], make(project).fingerprint)], name) for name in names]
    assert leaderboard.latest_sweep() == folders[1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "not the folder of a sweep, it has no sweep.json"),
        ("{", "cannot be read"),
        ('{"schema": 1}', "cannot be read"),
        ('{"schema": 2, "jobs": []}', "written by a newer version (sweep schema 2); update bibleqa"),
    ],
)
def test_what_is_no_sweep_is_refused_in_a_line(project: Path, run: Run, content: str | None, complaint: str) -> None:
    if content is not None:
        (project / "sweep.json").write_text(content)
    code, _, err = run("--sweep", str(project))
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err


def test_without_runs_it_says_how_to_make_one(project: Path, run: Run) -> None:
    assert run() == (0, "no finished runs yet; python run.py makes one\n", "")
    assert run("--format", "csv") == (0, "", "")
    assert json.loads(run("--format", "json")[1])["tables"] == []
    code, _, err = run("--sweep", "latest")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no sweep yet" in err


def test_the_table_has_every_figure(project: Path, run: Run) -> None:
    make(project, "optimizer=gepa", scores=[1.0] * 8, lm={**LM, "calls": 4321})
    make(project, "optimizer=none", scores=[0.0] * 8, seconds=77)
    code, out, _ = run()
    assert code == 0
    rows = {line.split()[1]: line for line in out.splitlines() if "optimizer=" in line}
    for figure in ("100.0%", "+100.0%", "4,321", "1,200", "60"):
        assert figure in rows["optimizer=gepa"]
    for figure in ("0.0%", "-100.0%", "0.008*", "77"):
        assert figure in rows["optimizer=none"]
    assert "corrected for 1 comparison (Holm); * below 0.05: 1 of 1 is told from the best" in out
    assert "what each option is worth" in out


def test_a_long_table_shows_the_best_unless_told_otherwise(project: Path, run: Run) -> None:
    for k in range(25):
        make(project, "optimizer=knn", f"optimizer.k={k}", scores=[1.0] * (25 - k) + [0.0] * k)
    assert "the best 20 of 25 runs; --all shows every one" in run()[1]
    assert run()[1].count("optimizer.k=") == 20
    assert run("--all")[1].count("optimizer.k=") == 25


def test_json_and_csv_say_the_same_in_fractions(project: Path, run: Run) -> None:
    make(project, "optimizer=gepa", scores=[1.0] * 8)
    make(project, "optimizer=none", scores=[1.0] * 6 + [0.0] * 2)
    (table,) = json.loads(run("--format", "json")[1])["tables"]
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv")[1])))
    assert [row["combination"] for row in rows] == ["optimizer=gepa", "optimizer=none"]
    for one, row in zip(table["runs"], rows, strict=True):
        assert float(row["score"]) == one["score"]
        assert [float(row["score_low"]), float(row["score_high"])] == one["ci95"]
        assert (row["fingerprint"], row["dataset_digest"]) == (one["fingerprint"], table["dataset_digest"])
    assert float(rows[1]["to_best"]) == table["runs"][1]["to_best"]["value"] == -0.25
    assert float(rows[1]["p_holm"]) == table["runs"][1]["to_best"]["p_holm"] == 0.5
    assert rows[0]["to_best"] == ""


def test_markup_in_a_config_is_text(project: Path, run: Run) -> None:
    make(project, "optimizer.strategy='[red]p[/red]'")
    make(project, "optimizer.strategy='[/]'")
    assert "optimizer.strategy=[red]p[/red]" in run()[1]


def test_a_damaged_run_is_named(project: Path, run: Run) -> None:
    folder = make(project).path
    with (folder / "predictions.jsonl").open("a") as file:
        file.write("what?\n")
    code, _, err = run()
    assert (code, err.count("\n")) == (2, 1)
    assert "predictions.jsonl cannot be read" in err


def test_it_needs_neither_dspy_nor_mlflow_nor_pictures(project: Path) -> None:
    make(project)
    code = (
        "import sys; from bibleqa import cli; assert cli.main(['leaderboard']) == 0; "
        "print([name for name in ('dspy', 'mlflow', 'scipy', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "BIBLEQA_PROJECT": str(project)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_runs_of_one_config_are_told_by_their_fingerprint(project: Path, run: Run) -> None:
    made: list[PastRun] = [make(project), make(project)]
    out = run()[1]
    assert all(one.fingerprint[:8] in out for one in made)
    assert past_runs.CONFIG["optimizer"] == {"name": "none"}
    assert out.count("optimizer=none") == 2
