"""A past run comes back: replayed without its model, asked again, or its program scored alone."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import fake_openai
import pytest
import yaml
from fake_openai import Server
from project import Finished, Folder, Project, end
from test_experiment import SECRET, learner, project_at

OPTIMIZERS = (
    "none,labeled,knn,bootstrap,bootstrap_random_search,copro,mipro,gepa,infer_rules,ensemble".split(",")  # simba below
)
LONGEST = 180.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with fake_openai.running(learner) as server:
        server.key = SECRET
        yield server


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Project:
    """A project with a run of every optimizer that changes prompts."""
    project = project_at(tmp_path_factory.mktemp("original") / "project", server)
    finished = end(project.start("-m", f"optimizer={','.join(OPTIMIZERS)}", "tracking=local"), within=LONGEST)
    assert finished.code == 0, finished.out + finished.err
    assert project.run("optimizer=simba", "optimizer.bsize=4", "tracking=none").code == 0
    return project


def run_of(project: Project, optimizer: str) -> Folder:
    """The first run of an optimizer."""
    found = [
        *project.root.glob("outputs/multirun/*/*/*/config.yaml"),
        *sorted(project.root.glob("outputs/2*/*/config.yaml")),
    ]
    of_optimizer = [p.parent for p in found if yaml.safe_load(p.read_text())["optimizer"]["name"] == optimizer]
    return Folder(of_optimizer[0])


@pytest.fixture
def elsewhere(tmp_path: Path, original: Project) -> Project:
    """An empty project of somebody who has neither the endpoint nor its key."""
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.jsonl").write_bytes((original.root / f"{split}.jsonl").read_bytes())
    return Project(tmp_path, "http://127.0.0.1:9/v1", variables={})


def reproduced(project: Project, run: Folder | str, *overrides: str) -> Finished:
    reference = run.path if isinstance(run, Folder) else run
    return project.run(f"reproduce={reference}", *overrides)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "simba"])
def test_a_replayed_run_is_identical_without_endpoint_or_key(
    original: Project, elsewhere: Project, server: Server, optimizer: str
) -> None:
    run, before = run_of(original, optimizer), len(server.requests)
    finished = reproduced(elsewhere, run, "reproduce.mode=replay")
    assert finished.code == 0, finished.out + finished.err
    assert "identical: the same program" in finished.out
    copy = elsewhere.last
    assert copy.answers() == run.answers()
    assert copy.json("candidates.json") == run.json("candidates.json")
    assert (copy.path / "program.json").read_bytes() == (run.path / "program.json").read_bytes()
    assert copy.summary["lm"]["calls"] == copy.summary["lm"]["cached_calls"] == run.summary["lm"]["calls"]
    assert len(server.requests) == before


@pytest.mark.slow
def test_a_run_asked_again_says_whether_it_came_out_the_same(original: Project, server: Server) -> None:
    run = run_of(original, "bootstrap")
    same = reproduced(original, run)
    assert same.code == 0, same.err
    assert "asked again" in same.out
    assert "identical: the same program" in same.out

    server.answer = lambda asked: "Nobody" if "Son-test-7" in asked.text else learner(asked)
    try:
        other = reproduced(original, run)
    finally:
        server.answer = learner
    assert other.code == 0, other.err
    assert "not identical: the same program" in other.out
    assert re.search(r"other answers or scores: test7\n", other.out)
    assert "the endpoint answered otherwise" in other.out
    assert original.last.summary["reproduction"]["differing"] == ["test7"]


@pytest.mark.slow
def test_the_program_of_a_run_is_scored_alone_and_on_other_questions(
    original: Project, elsewhere: Project, server: Server
) -> None:
    run = run_of(original, "labeled")
    evaluated = reproduced(original, run, "reproduce.mode=evaluate")
    assert evaluated.code == 0, evaluated.err
    assert "identical: the same program" in evaluated.out
    summary = original.last.summary
    assert summary["optimized"]["score"] == run.summary["optimized"]["score"]
    assert summary["baseline"]["n"] == 0

    rows = (elsewhere.root / "test.jsonl").read_text().splitlines()[:5]
    (elsewhere.root / "test.jsonl").write_text("\n".join(rows) + "\n")
    there = Project(elsewhere.root, server.base_url, original.variables)
    fewer = reproduced(there, run, "reproduce.mode=evaluate", "dataset=jsonl", *files(elsewhere))
    assert fewer.code == 0, fewer.err
    assert there.last.summary["optimized"]["n"] == 5
    assert "override dataset.test" in fewer.out


def files(project: Project) -> list[str]:
    return [f"dataset.{split}={project.root / split}.jsonl" for split in ("train", "val", "test")]


@pytest.mark.slow
def test_a_run_is_named_by_its_fingerprint_or_its_mlflow_run_too(original: Project, elsewhere: Project) -> None:
    run = run_of(original, "none")
    by_fingerprint = reproduced(original, run.summary["fingerprint"][:10], "reproduce.mode=replay")
    assert by_fingerprint.code == 0, by_fingerprint.err
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{original.root}/mlflow.db"}
    stranger = Project(elsewhere.root, elsewhere.base_url, store)
    by_run = reproduced(stranger, run.summary["run_id"], "reproduce.mode=replay", "tracking=none")
    assert by_run.code == 0, by_run.err
    assert "identical" in by_run.out


@pytest.mark.slow
def test_a_sweep_names_no_replay_as_the_finished_run(original: Project, elsewhere: Project) -> None:
    run = run_of(original, "none")
    pointer = original.root / "outputs" / ".finished" / run.summary["fingerprint"]
    before = pointer.read_text()
    assert reproduced(original, run, "reproduce.mode=replay").code == 0
    assert pointer.read_text() == before


@pytest.mark.slow
def test_the_key_is_in_no_archive(original: Project) -> None:
    archives = list(original.root.glob("outputs/multirun/*/*/*/answers.jsonl"))
    assert archives
    assert not any(SECRET in path.read_text() for path in archives)


# Wrong input.


def damaged(original: Project, copy: Path, how: str) -> None:
    """A copy of a run folder: whole, without a file, or of another schema."""
    shutil.copytree(run_of(original, "labeled").path, copy)
    if how.startswith("without "):
        (copy / how.removeprefix("without ")).unlink()
    elif how == "newer":
        summary = json.loads((copy / "summary.json").read_text())
        (copy / "summary.json").write_text(json.dumps({**summary, "schema": 99}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "overrides", "said"),
    [
        ("newer", [], "made by a newer bibleqa"),
        ("without summary.json", ["reproduce.mode=replay"], "did not finish"),
        ("without answers.jsonl", ["reproduce.mode=replay"], r"answers\.jsonl is missing"),
        ("without program.json", ["reproduce.mode=evaluate"], r"program\.json is missing"),
        ("without config.yaml", [], "not a run folder"),
        ("whole", ["optimizer=none", "optimizer.k=3"], r"optimizer\.k: unknown key"),
        ("whole", ["reproduce.mode=again"], "not one of rerun, replay, evaluate"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_in_one_line(
    original: Project, elsewhere: Project, server: Server, how: str, overrides: list[str], said: str
) -> None:
    copy, before = elsewhere.root / "copy", len(server.requests)
    damaged(original, copy, how)
    finished = reproduced(elsewhere, str(copy), *overrides)
    assert finished.code == 2, finished.err
    assert re.search(said, finished.complaint)
    assert len(server.requests) == before
    assert elsewhere.folders == []


@pytest.mark.slow
def test_other_questions_under_the_same_config_are_refused(original: Project, tmp_path: Path) -> None:
    run = run_of(original, "none")
    test = original.root / "test.jsonl"
    before = test.read_text()
    test.write_text(before.replace("Father-test-5", "Father-test-five"))
    try:
        finished = reproduced(original, run, "reproduce.mode=replay")
    finally:
        test.write_text(before)
    assert finished.code == 2
    assert "gives other questions here" in finished.complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce=nowhere"], "nor is it an MLflow run id or a fingerprint"),
        (["reproduce=0123456789abcdef"], "no finished run of this project has that fingerprint"),
        (["reproduce.mode=replay"], "of which run?"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(elsewhere_empty: Project, arguments: list[str], said: str) -> None:
    finished = elsewhere_empty.run_bare(*arguments)
    assert finished.code == 2
    assert said in finished.complaint


@pytest.fixture
def elsewhere_empty(tmp_path: Path) -> Project:
    return Project(tmp_path, "http://127.0.0.1:9/v1")
