"""Answers on disk: an answer that was paid for is there, or the run stops; nothing is mistaken for it."""

import errno
import json
import sqlite3
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from bibleqa.errors import ConfigError, RunFailed, Stopped
from bibleqa.lm import answers
from bibleqa.lm.answers import SHARED, Answers, Archive, read_archive
from bibleqa.schema import EndpointConfig

ENDPOINT = EndpointConfig(name="openai", kind="openai", model="m", base_url="http://127.0.0.1:9/v1")
LONG = "word " * 100_000


def asked(number: int) -> dict[str, str]:
    return {"prompt": f"Question {number}?"}


def test_an_answer_is_found_by_another_process(tmp_path: Path) -> None:
    Answers(tmp_path).put(asked(1), {"text": LONG})
    again = Answers(tmp_path)
    assert again.get(asked(1)) == {"text": LONG}
    assert again.get(asked(2)) is None


def test_every_answer_is_in_the_database_and_synced(tmp_path: Path) -> None:
    cache = Answers(tmp_path)
    cache.put(asked(1), {"text": LONG})
    assert cache.disk_cache.sqlite_synchronous == 2
    assert not list(tmp_path.rglob("*.val")), "a file beside it could be there by half"


def full(cache: Answers) -> None:
    """Let SQLite say that the disk is full, as it does when it is."""
    for shard in cache.disk_cache._shards:
        shard._sql("PRAGMA max_page_count = 1")


def failing(error: Exception) -> Callable[[Answers], None]:
    def make(cache: Answers) -> None:
        def refuse(*_: Any) -> None:
            raise error

        cache.disk_cache.set = refuse

    return make


def locked(cache: Answers) -> None:
    cache.disk_cache.set = lambda *_: False  # as diskcache has it when the time is over


@pytest.mark.parametrize(
    "hurt",
    [
        full,
        locked,
        failing(OSError(errno.ENOSPC, "No space left")),
        failing(sqlite3.OperationalError("disk I/O error")),
    ],
    ids=["full", "locked", "no space", "I/O"],
)
def test_an_answer_that_cannot_be_kept_stops_the_run(tmp_path: Path, hurt: Callable[[Answers], None]) -> None:
    cache = Answers(tmp_path)
    hurt(cache)
    with pytest.raises(Stopped, match="is the disk full") as stopped:
        cache.put(asked(1), {"text": LONG})
    assert isinstance(stopped.value.reason, RunFailed)


def shard_of(cache: Answers, request: dict[str, str]) -> Path:
    number = cache.disk_cache.disk.hash(cache.cache_key(request)) % 16
    return Path(cache.disk_cache.directory) / f"{number:03}" / "cache.db"


def test_damaged_answers_are_named_before_anything_is_asked(project: Path) -> None:
    folder = Path(answers.of(ENDPOINT, SHARED).cache.disk_cache.directory)
    answers._open.clear()
    (folder / "004" / "cache.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RunFailed, match=r"004/cache\.db is damaged: bibleqa doctor --fix"):
        answers.of(ENDPOINT, SHARED)


def test_answers_that_are_damaged_while_a_run_is_at_work_stop_it(tmp_path: Path) -> None:
    writer = Answers(tmp_path)
    for number in range(300):
        writer.put(asked(number), {"text": "word " * 100})
    writer.disk_cache.close()
    cache = Answers(tmp_path)
    shard = shard_of(cache, asked(7))
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:4096] + b"\xff" * (size - 4096))
    with pytest.raises(Stopped, match=r"cache\.db is damaged: bibleqa doctor --fix"):
        cache.get(asked(7))


def put_all(folder: Path, who: int) -> None:
    cache = Answers(folder)
    for number in range(40):
        cache.put(asked(number), {"text": f"answer {number}"})
        cache.put({"of": str(who), **asked(number)}, {"text": f"{who} {number}"})


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
        assert cache.get(asked(number)) == {"text": f"answer {number}"}
        for who in range(8):
            assert cache.get({"of": str(who), **asked(number)}) == {"text": f"{who} {number}"}


# What a run that asks all over again keeps apart.


def test_they_are_gone_on_with_until_the_run_has_ended(project: Path) -> None:
    run = project / "outputs" / "runs" / "a"
    run.mkdir(parents=True)
    source = answers.Source(again="f1")
    answers.of(ENDPOINT, source).cache.put(asked(1), {"text": "x"})
    answers.ending(ENDPOINT, "f1", run)
    assert answers.of(ENDPOINT, source).cache.get(asked(1)), "killed before the summary"
    (run / "summary.json").write_text("{}")
    answers._open.clear()
    assert answers.of(ENDPOINT, source).cache.get(asked(1)) is None, "killed after it"


# The archive of a run.


def test_half_a_line_is_left_out_and_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Archive(path).add("openai", "k1", {"text": "אלהים\u2028\x85"})
    path.write_bytes(path.read_bytes() + '{"from": "openai", "key": "א'.encode()[:-1])
    assert read_archive(path) == {("openai", "k1"): {"text": "אלהים\u2028\x85"}}
    Archive(path).add("openai", "k2", "b")
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
