"""Run folders: whole or not at all, and found again only where they are."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from synced import await_sync

from bibleqa import syncing
from bibleqa.runs import RunFolder, discard_unused, find_finished, length_of_whole_lines, put_in_place, write_atomically

DONE = {"schema": 1, "status": "finished", "fingerprint": "f1"}


def folder(project: Path, name: str = "a") -> RunFolder:
    path = project / "outputs" / "2026-11-22" / name
    path.mkdir(parents=True)
    return RunFolder(path)


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "old")
    write_atomically(tmp_path / "a.json", "neu: א\r\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes().decode() == "neu: א\r\n"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.json"
    write_atomically(path, "old")
    text = "new"
    if step == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        text = "new \ud800"  # half of a character: what cannot be encoded fails in the middle of writing
    with pytest.raises((OSError, UnicodeEncodeError)):
        write_atomically(path, text)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_of_many_threads_stay_whole(project: Path) -> None:
    run = folder(project)
    lines = [str(number) * 2000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run.append, ["p.jsonl"] * 40, lines * 5))
    assert sorted((run.path / "p.jsonl").read_text().splitlines()) == sorted(lines * 5)


def test_a_finished_run_is_found_by_its_fingerprint(project: Path) -> None:
    run = folder(project)
    run.finish(DONE)
    found = find_finished("f1")
    assert found
    assert found.path.samefile(run.path)
    assert found.read_json("summary.json") == DONE
    assert find_finished("f2") is None


def test_the_latest_one_is_found(project: Path) -> None:
    folder(project, "a").finish(DONE)
    later = folder(project, "b")
    later.finish(DONE)
    assert (found := find_finished("f1"))
    assert found.path.samefile(later.path)


def test_a_failed_run_is_not_found_and_hides_no_finished_one(project: Path) -> None:
    folder(project, "a").finish({**DONE, "status": "failed"})
    assert find_finished("f1") is None
    finished = folder(project, "b")
    finished.finish(DONE)
    folder(project, "c").finish({**DONE, "status": "failed"})
    assert (found := find_finished("f1"))
    assert found.path.samefile(finished.path)


def test_a_run_that_was_removed_or_replaced_is_not_found(project: Path) -> None:
    run = folder(project)
    run.finish(DONE)
    run.write_json("summary.json", {**DONE, "fingerprint": "f2"})
    assert find_finished("f1") is None
    run.write_json("summary.json", {**DONE, "status": "failed"})
    assert find_finished("f1") is None
    shutil.rmtree(run.path)
    assert find_finished("f1") is None


def test_a_project_that_was_moved_keeps_its_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIBLEQA_PROJECT", str(project / "old"))
    folder(project / "old").finish(DONE)
    (project / "old").rename(project / "new")
    monkeypatch.setenv("BIBLEQA_PROJECT", str(project / "new"))
    assert (found := find_finished("f1"))
    assert found.path.samefile(project / "new" / "outputs" / "2026-11-22" / "a")


def unused(project: Path) -> Path:
    path = folder(project).path
    (path / ".hydra").mkdir()
    for name in ("config", "overrides", "hydra"):
        (path / ".hydra" / f"{name}.yaml").touch()
    (path / "run.log").touch()
    return path


def test_the_folder_of_a_run_that_never_began_is_removed(project: Path) -> None:
    discard_unused(unused(project))
    assert list((project / "outputs").iterdir()) == []


def test_the_other_runs_of_the_day_stay(project: Path) -> None:
    other = folder(project, "b").path
    discard_unused(unused(project))
    assert list(other.parent.iterdir()) == [other]


@pytest.mark.parametrize("name", ["config.yaml", "predictions.jsonl", "notes.txt"])
def test_a_folder_with_anything_else_in_it_stays_whole(project: Path, name: str) -> None:
    path = unused(project)
    (path / name).touch()
    before = sorted(path.rglob("*"))
    discard_unused(path)
    assert sorted(path.rglob("*")) == before


def test_there_may_be_nothing_to_discard(project: Path) -> None:
    discard_unused(project / "never-made")
    assert project.is_dir()


def test_a_summary_can_be_read_by_people(project: Path) -> None:
    run = folder(project)
    run.write_json("summary.json", {"answer": "אלהים"})
    text = (run.path / "summary.json").read_text(encoding="utf-8")
    assert "אלהים" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"answer": "אלהים"}


def test_what_a_killed_process_wrote_half_is_left_out_and_nothing_is_glued_to_it(project: Path) -> None:
    run = folder(project)
    run.append("p.jsonl", '{"a": "אלהים\u2028"}')
    whole = (run.path / "p.jsonl").read_bytes()
    (run.path / "p.jsonl").write_bytes(whole + '{"b": "א'.encode()[:-1])
    assert list(run.read_lines("p.jsonl")) == [{"a": "אלהים\u2028"}]
    RunFolder(run.path).append("p.jsonl", '{"c": 1}')
    assert (run.path / "p.jsonl").read_bytes() == whole + b'{"c": 1}\n'


@pytest.mark.parametrize("size", [0, 1, 70_000, 140_000])
def test_whole_lines_are_found_from_the_end_however_long_the_half_one_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "p.jsonl"
    for before in (b"", b"{}\n{}\n"):
        path.write_bytes(before + b"x" * size)
        with path.open("rb") as file:
            assert length_of_whole_lines(file) == len(before)


def test_a_line_that_finds_no_room_is_taken_back(project: Path) -> None:
    path = project / "p.jsonl"
    script = "import resource, signal, sys; from pathlib import Path; from bibleqa.runs import Lines\n"
    script += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); lines = Lines(Path(sys.argv[1])); lines.add('1')\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); lines.add('2' * 100)"
    ended = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1] == "OSError: [Errno 27] File too large"
    assert path.read_text() == "1\n"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was had on disk, in that order."""
    await_sync()  # what earlier tests have written
    order: list[Path] = []
    real = syncing.now

    def note(path: Path) -> None:
        order.append(path)
        real(path)

    monkeypatch.setattr(syncing, "now", note)
    return order


def test_a_folder_gets_its_name_when_it_is_whole_and_on_disk(tmp_path: Path, synced: list[Path]) -> None:
    draft = tmp_path / ".kjv.draft"
    (draft / "below").mkdir(parents=True)
    (draft / "below" / "train.jsonl").write_text("{}\n")
    put_in_place(draft, tmp_path / "kjv")
    assert (tmp_path / "kjv" / "below" / "train.jsonl").read_text() == "{}\n"
    assert set(synced[:-1]) == {draft / "below" / "train.jsonl", draft / "below", draft}
    assert synced[-1] == tmp_path, "the new name last"


def test_lines_are_on_disk_before_long(project: Path, synced: list[Path]) -> None:
    run = folder(project)
    for number in range(50):
        run.append("p.jsonl", str(number))
    await_sync()
    assert set(synced) == {run.path / "p.jsonl"}
    assert len(synced) < 50, "many at once"


def test_all_of_a_run_is_on_disk_before_its_summary(project: Path, synced: list[Path]) -> None:
    run = folder(project)
    (run.path / "answers.jsonl").write_text("{}\n")
    run.finish(DONE)
    assert synced.index(run.path / "answers.jsonl") < synced.index(run.path / f".summary.json.{os.getpid()}")
