"""What unclean deaths leave: told by doctor, repaired by --fix, and nothing that a living process uses is touched."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import past_runs
import pytest
from filelock import FileLock

from bibleqa import artifacts, cli, databases, repair, runs, tracking
from bibleqa.lm import answers
from bibleqa.lm.answers import Answers
from bibleqa.runs import RunFolder
from bibleqa.schema import TrackingConfig


@pytest.fixture(autouse=True)
def downloads(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of downloads of the project's own."""
    monkeypatch.setenv(artifacts.CACHE_VARIABLE, str(project / "downloads"))
    models = project / "downloads" / "models"
    models.mkdir(parents=True)
    return models


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def found() -> list[str]:
    return [damage.text for damage in repair.find()]


def fixed() -> list[str]:
    """What was done; a second visit finds nothing."""
    done = [damage.repair() for damage in repair.find()]
    assert found() == []
    return done


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_project_in_order_has_nothing_to_repair(project: Path) -> None:
    run = past_runs.make(project)
    RunFolder(run.path).append("answers.jsonl", "{}")
    assert found() == []


def test_drafts_of_a_process_that_is_gone(project: Path, gone: int) -> None:
    draft = write(project / "outputs" / "2026-11-22" / "a" / f".summary.json.{gone}", '{"sta')
    assert len(found()) == 1
    assert fixed() == [f"removed outputs/2026-11-22/a/.summary.json.{gone}"]
    assert not draft.exists()


def test_the_draft_of_a_process_that_lives_stays(project: Path) -> None:
    draft = write(project / "outputs" / f".summary.json.{os.getpid()}", "half")
    assert found() == []
    assert draft.exists()


def test_the_draft_of_an_earlier_process_of_that_number_goes(project: Path) -> None:
    draft = write(project / "outputs" / f".summary.json.{os.getpid()}", "half")
    os.utime(draft, (1, 1))
    fixed()
    assert not draft.exists()


@pytest.mark.parametrize("name", [".kjv.draft-x1", ".corpus.sqlite.draft"])
def test_what_was_half_built_goes_unless_it_is_being_built(project: Path, name: str) -> None:
    draft = project / "data" / "processed" / name
    write(draft / "train.jsonl", "half")
    with FileLock(draft.with_name(f".{name[1:].rpartition('.draft')[0]}.lock")):
        assert found() == []
    fixed()
    assert not draft.exists()


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(flush=True); input()"
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    lock = FileLock(tmp_path / "lock", timeout=0)
    with pytest.raises(TimeoutError):
        lock.acquire()
    holder.kill()
    holder.communicate()
    with lock:
        assert lock.is_locked


def test_what_is_left_of_a_complete_download_goes_and_a_half_one_stays_to_go_on_from(downloads: Path) -> None:
    write(downloads / "a.gguf", "whole")
    write(downloads / "a.gguf.part", "ha")
    write(downloads / "a.gguf.wheels" / "x" / "x.whl", "ha")
    half = write(downloads / "b.gguf.part", "ha")
    assert len(fixed()) == 2
    assert sorted(path.name for path in downloads.glob("[!.]*") if path.suffix != ".lock") == ["a.gguf", half.name]


def test_half_a_line_is_cut_off(project: Path) -> None:
    run = past_runs.make(project)
    for name in ("predictions.jsonl", "answers.jsonl"):
        with (run.path / name).open("ab") as file:
            file.write('{"id": 1}\n{"id": "א'.encode()[:-1])
    assert [said.split()[0] for said in fixed()] == ["cut", "cut"]
    assert (run.path / "answers.jsonl").read_text() == '{"id": 1}\n'


def test_a_damaged_summary_is_put_aside_and_its_pointer_goes(project: Path) -> None:
    run = past_runs.make(project)
    write(run.path / "summary.json", '{"schema": 1, "stat')
    done = fixed()
    assert "outputs/runs/r0/summary.json is now summary.json.damaged" in done
    assert not list((project / "outputs" / ".finished").iterdir())
    assert (run.path / "summary.json.damaged").read_text() == '{"schema": 1, "stat'


def test_pointers_to_what_is_gone(project: Path) -> None:
    write(project / "outputs" / ".finished" / "f1", "outputs/runs/gone")
    write(project / "outputs" / ".sweeps" / "s1", "outputs/multirun/gone")
    assert fixed() == ["removed outputs/.finished/f1", "removed outputs/.sweeps/s1"]


def test_a_composed_config_that_is_damaged(project: Path) -> None:
    kept = write(project / "outputs" / ".composed" / "k1", '{"groups"')
    fixed()
    assert not kept.exists()


def test_a_dataset_that_is_not_what_was_built(project: Path) -> None:
    folder = project / "data" / "processed" / "kjv"
    write(folder / "train.jsonl", "half")
    write(folder / "manifest.json", json.dumps({"sha256": {"train.jsonl": "0" * 64}}))
    with FileLock(folder.with_name(".kjv.lock")):
        assert found() == []
    assert fixed() == ["data/processed/kjv is built again when it is wanted"]
    assert not (folder / "manifest.json").exists()


def kept_answers(project: Path, name: str = "openai-1") -> tuple[Path, list[dict[str, str]]]:
    """A folder with many answers, and what was asked."""
    folder = project / "outputs" / ".cache" / name
    cache = Answers(folder)
    asked = [{"prompt": f"Question {number}?"} for number in range(400)]
    for request in asked:
        cache.put(request, request["prompt"] * 40)
    cache.close()
    return folder, asked


def torn(path: Path) -> None:
    """Overwrite the end of a database."""
    with path.open("rb+") as file:
        file.seek(path.stat().st_size - 8192)
        file.write(b"\xff" * 8192)


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize(("hurt", "saved"), [(torn, True), (garbage, False)])
def test_answers_that_can_be_read_are_saved(project: Path, hurt: Callable[[Path], None], saved: bool) -> None:
    folder, asked = kept_answers(project)
    shard = folder / "000" / "cache.db"
    hurt(shard)
    done = fixed()
    assert len(done) == 1
    assert "outputs/.cache/openai-1/000/cache.db is now cache.db.damaged; " in done[0]
    cache = Answers(folder)
    there = [cache.get(request) for request in asked]
    lost = there.count(None)
    assert 0 < lost < len(asked) if saved else lost == len(asked)
    assert all(one == request["prompt"] * 40 for one, request in zip(there, asked, strict=True) if one)


def test_answers_of_a_rerun_that_has_ended(project: Path) -> None:
    run = past_runs.make(project)
    folder, _ = kept_answers(project, "openai-1-again-f1")
    write(folder / answers.DONE, f"outputs/runs/{run.path.name}")
    fixed()
    assert not folder.exists()


def test_answers_of_a_rerun_that_has_not_ended_stay(project: Path) -> None:
    folder, _ = kept_answers(project, "openai-1-again-f1")
    (project / "outputs" / "runs" / "r0").mkdir(parents=True)
    write(folder / answers.DONE, "outputs/runs/r0")
    assert found() == []


@pytest.mark.parametrize("name", ["mlflow.db", "data/corpus.sqlite"])
def test_a_store_that_is_damaged_is_put_aside(project: Path, name: str) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    garbage(path)
    assert len(fixed()) == 1
    assert path.with_name(f"{path.name}.damaged").is_file()
    garbage(path)
    fixed()
    assert path.with_name(f"{path.name}.damaged-2").is_file(), "nothing is written over"


def test_a_database_that_is_locked_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PATIENCE", 0.1)
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a); BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)")
        assert databases.damage(path) is None


def test_while_a_run_is_at_work_what_it_may_use_is_left_alone(project: Path, gone: int) -> None:
    folder, _ = kept_answers(project)
    garbage(folder / "000" / "cache.db")
    write(project / "outputs" / ".finished" / "f1", "outputs/runs/gone")
    draft = write(project / "outputs" / f".a.{gone}", "half")
    assert not repair.at_work()
    with runs.alone("f2", wait=lambda: None):
        assert repair.at_work()
        (only,) = repair.find(repair.at_work())
        only.repair()
    assert not draft.exists()
    assert not repair.at_work()
    assert len(fixed()) == 2


def test_a_tracker_that_was_left_half_made_is_put_aside(project: Path) -> None:
    with closing(sqlite3.connect(project / "mlflow.db")) as connection:
        connection.executescript("CREATE TABLE experiments (a); CREATE TABLE scorers (a)")
    assert found() == ["mlflow.db was being made when its process died"]
    fixed()
    assert tracking.count_runs(LOCAL) == 0


def test_a_tracker_that_is_interrupted_as_it_is_made_is_made_anew(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db import utils

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(utils, "_upgrade_db", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracking.count_runs(LOCAL)
    assert not (project / "mlflow.db").exists()
    assert tracking.count_runs(LOCAL) == 0


# MLflow, which takes seconds to come up: all of it in one project.


@contextmanager
def as_if_by(process: str) -> Iterator[None]:
    before = tracking._this_process
    tracking._this_process = lambda: process
    try:
        yield
    finally:
        tracking._this_process = before


LOCAL = TrackingConfig(name="local")


def test_runs_that_mlflow_has_half_or_not_at_all(project: Path, gone: int) -> None:
    from mlflow import MlflowClient

    machine, _, begun = tracking._this_process().split()
    tracked = ("tracking.name=local",)
    missed = past_runs.make(project, *tracked, git={}, slice={})
    half = past_runs.make(project, *tracked, git={}, slice={})
    with as_if_by(f"{machine} {gone} {begun}"):
        half_id = tracking.begin_sweep(LOCAL, "half")
        sweep_id = tracking.begin_sweep(LOCAL, "killed")
    running_id = tracking.begin_sweep(LOCAL, "running")
    with as_if_by("another-machine 1 1.0"):
        elsewhere_id = tracking.begin_sweep(LOCAL, "elsewhere")
    RunFolder(half.path).write_json("summary.json", {**half.summary, "run_id": half_id})

    assert len(found()) == 4  # the half one is known as that, and as one left running
    done = fixed()

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    status = {name: client.get_run(str(id)).info for name, id in [("sweep", sweep_id), ("half", half_id)]}
    assert status["sweep"].status == "KILLED"
    assert status["half"].lifecycle_stage == "deleted"
    assert {client.get_run(str(id)).info.status for id in (running_id, elsewhere_id)} == {"RUNNING"}
    for run in (missed, half):
        run_id = RunFolder(run.path).read_json("summary.json")["run_id"]
        assert client.get_run(run_id).info.status == "FINISHED"
        assert client.get_run(run_id).data.metrics["optimized.score"] == 0.5
    assert len(done) == 3


def test_doctor_tells_each_and_repairs_each(
    project: Path, gone: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "outputs" / f".a.{gone}", "half")
    write(project / "outputs" / ".finished" / "f1", "outputs/runs/gone")
    for split in ("train", "val", "test"):
        write(project / f"{split}.jsonl", '{"id": "1", "question": "Who?", "answer": "Seth"}\n')

    def files(*flags: str) -> list[str]:
        given = ["endpoint=openai", "endpoint.model=x", "endpoint.base_url=http://127.0.0.1:9", "tracking=none"]
        given += ["dataset=jsonl", *(f"dataset.{split}={project / split}.jsonl" for split in ("train", "val", "test"))]
        assert cli.main(["doctor", *flags, *given]) != 0, "nothing answers at that address"
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if line.split()[1] == "files"]

    told = files()
    assert len(told) == 2
    assert all(line.startswith("wrong") and line.endswith("bibleqa doctor --fix repairs it") for line in told)
    assert [line.split()[:3] for line in files("--fix")] == [["ok", "files", "removed"]] * 2
    assert [line.split() for line in files("--fix")] == [["ok", "files", "in", "order"]]
