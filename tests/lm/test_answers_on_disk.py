"""Answers on disk: an answer that was paid for is there, or the run stops; nothing is mistaken for it."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from dspy.clients.cache import Cache
from synced import await_sync

from bibleqa import syncing
from bibleqa.errors import ConfigError, RunFailed, Stopped
from bibleqa.lm import answers
from bibleqa.lm.answers import SHARED, Answers, Archive, read_archive
from bibleqa.schema import EndpointConfig

ENDPOINT = EndpointConfig(name="openai", kind="openai", model="m", base_url="http://127.0.0.1:9/v1")
LONG = "word " * 100_000


def asked(number: int) -> dict[str, str]:
    return {"prompt": f"Question {number}?"}


def test_an_answer_is_found_by_another_process(tmp_path: Path) -> None:
    Answers(tmp_path).put(asked(1), LONG)
    again = Answers(tmp_path)
    assert again.get(asked(1)) == LONG
    assert again.get(asked(2)) is None


def test_answers_of_earlier_stores_are_found_and_added_to(tmp_path: Path) -> None:
    earlier = Cache(enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(tmp_path))
    for number in range(40):
        earlier.put(asked(number), "Seth")
    cache = Answers(tmp_path)
    assert {cache.get(asked(number)) for number in range(40)} == {"Seth"}
    for number in range(20, 60):
        cache.put(asked(number), "Adam")
    again = Answers(tmp_path)
    assert [again.get(asked(number)) for number in range(60)] == ["Seth"] * 20 + ["Adam"] * 40


def test_earlier_versions_that_open_a_store_hide_no_answers_in_it(tmp_path: Path) -> None:
    cache = Answers(tmp_path)
    for number in range(40):
        cache.put(asked(number), "Seth")
    Cache(enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(tmp_path))
    again = Answers(tmp_path)
    assert {again.get(asked(number)) for number in range(40)} == {"Seth"}


def test_a_file_of_an_earlier_store_that_is_gone_takes_no_other_with_it(tmp_path: Path) -> None:
    earlier = Cache(enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(tmp_path))
    for number in range(40):
        earlier.put(asked(number), "Seth")
    earlier.disk_cache.close()
    shutil.rmtree(tmp_path / "001")
    cache = Answers(tmp_path)
    found = [cache.get(asked(number)) for number in range(40)]
    gone = [earlier.disk_cache.disk.hash(earlier.cache_key(asked(number))) % 16 == 1 for number in range(40)]
    assert any(gone)
    assert found == [None if it_is else "Seth" for it_is in gone]


def test_many_threads_share_the_files(tmp_path: Path) -> None:
    cache = Answers(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: cache.put(asked(number), str(number)), range(200)))
        cache.reset_memory_cache()
        assert list(pool.map(lambda number: cache.get(asked(number)), range(200))) == [str(n) for n in range(200)]


def test_every_answer_is_in_the_database_and_synced_before_long(tmp_path: Path, synced: list[Path]) -> None:
    cache = Answers(tmp_path)
    cache.put(asked(1), LONG)
    assert not list(tmp_path.rglob("*.val")), "a file beside it could be there by half"
    await_sync()
    assert synced == [tmp_path / "000" / "cache.db-wal"]


def test_an_answer_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from bibleqa.lm.answers import Answers\n"
    script += "Answers(Path(sys.argv[1])).put({'prompt': 'Question 1?'}, 'Seth'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == -9
    assert Answers(tmp_path).get(asked(1)) == "Seth"


def test_what_could_not_be_brought_onto_the_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    cache = Answers(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    cache.put(asked(1), "Seth")
    await_sync()
    with pytest.raises(Stopped, match="is the disk full"):
        cache.put(asked(2), "Adam")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was had on disk."""
    await_sync()  # what earlier tests have written
    found: list[Path] = []
    monkeypatch.setattr(syncing, "now", found.append)
    return found


def full(cache: Answers) -> None:
    """Let SQLite say that the disk is full, as it does when it is."""
    for shard in cache._shards._shards:
        shard.connection.execute("PRAGMA max_page_count = 1")


def failing(error: Exception) -> Callable[[Answers], None]:
    def make(cache: Answers) -> None:
        def refuse(*_: Any) -> None:
            raise error

        cache._shards.put = refuse  # type: ignore[assignment, method-assign]

    return make


@pytest.mark.parametrize(
    "hurt",
    [
        full,
        failing(sqlite3.OperationalError("database is locked")),
        failing(OSError(errno.ENOSPC, "No space left")),
        failing(sqlite3.OperationalError("disk I/O error")),
    ],
    ids=["full", "locked", "no space", "I/O"],
)
def test_an_answer_that_cannot_be_kept_stops_the_run(tmp_path: Path, hurt: Callable[[Answers], None]) -> None:
    cache = Answers(tmp_path)
    hurt(cache)
    with pytest.raises(Stopped, match="is the disk full") as stopped:
        cache.put(asked(1), LONG)
    assert isinstance(stopped.value.reason, RunFailed)


def test_damaged_answers_are_named_before_anything_is_asked(project: Path) -> None:
    answers.of(ENDPOINT, SHARED)
    answers._open.clear()
    (answers._folder(ENDPOINT, None) / "000" / "cache.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RunFailed, match=r"000/cache\.db is damaged: bibleqa doctor --fix"):
        answers.of(ENDPOINT, SHARED)


def test_answers_that_are_damaged_while_a_run_is_at_work_stop_it(tmp_path: Path) -> None:
    writer = Answers(tmp_path)
    for number in range(300):
        writer.put(asked(number), "word " * 100)
    writer.close()
    cache = Answers(tmp_path)
    shard = tmp_path / "000" / "cache.db"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:4096] + b"\xff" * (size - 4096))
    with pytest.raises(Stopped, match=r"cache\.db is damaged: bibleqa doctor --fix"):
        cache.get(asked(7))


def put_all(folder: Path, who: int) -> None:
    cache = Answers(folder)
    for number in range(40):
        cache.put(asked(number), f"answer {number}")
        cache.put({"of": str(who), **asked(number)}, f"{who} {number}")


@pytest.mark.slow
def test_eight_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    spawn = get_context("spawn")
    processes = [spawn.Process(target=put_all, args=(tmp_path, who)) for who in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 8
    cache = Answers(tmp_path)
    for number in range(40):
        assert cache.get(asked(number)) == f"answer {number}"
        for who in range(8):
            assert cache.get({"of": str(who), **asked(number)}) == f"{who} {number}"


# What a run that asks all over again keeps apart.


def test_they_are_gone_on_with_until_the_run_has_ended(project: Path) -> None:
    run = project / "outputs" / "runs" / "a"
    run.mkdir(parents=True)
    source = answers.Source(again="f1")
    answers.of(ENDPOINT, source).cache.put(asked(1), "x")
    answers.ending(ENDPOINT, "f1", run)
    assert answers.of(ENDPOINT, source).cache.get(asked(1)), "killed before the summary"
    (run / "summary.json").write_text("{}")
    answers._open.clear()
    assert answers.of(ENDPOINT, source).cache.get(asked(1)) is None, "killed after it"


# The archive of a run.


def test_half_a_line_is_left_out_and_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Archive(path).add("openai", "k1", '{"text": "אלהים\u2028\x85"}')
    path.write_bytes(path.read_bytes() + '{"from": "openai", "key": "א'.encode()[:-1])
    assert read_archive(path) == {("openai", "k1"): {"text": "אלהים\u2028\x85"}}
    Archive(path).add("openai", "k2", '"b"')
    assert list(read_archive(path)) == [("openai", "k1"), ("openai", "k2")]


def test_damage_in_the_middle_is_no_end_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"from": "openai", "key"\n' + json.dumps({"from": "a", "key": "b", "answer": 1}) + "\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_archive(path)


def test_an_archive_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(Stopped, match=r"answers\.jsonl cannot be written"):
        Archive(tmp_path / "answers.jsonl").add("openai", "k1", "x")
