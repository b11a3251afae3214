"""One at a time with the same key, among threads and processes; others do not wait."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bibleqa.lm.turns import Turns

HELD = """
import sys
from pathlib import Path
from bibleqa.lm.turns import Turns
with Turns(Path(sys.argv[1])).alone("a1"):
    print(flush=True)
    input()
"""


@contextmanager
def elsewhere(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process has the turn of `a1`, until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def taken(turns: Turns, key: str) -> threading.Event:
    """Clear until a thread has had the turn."""
    had = threading.Event()

    def take() -> None:
        with turns.alone(key):
            had.set()

    threading.Thread(target=take, daemon=True).start()
    return had


def test_a_thread_waits_for_another_one_with_its_key_alone(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns")
    with turns.alone("a1"):
        same, other = taken(turns, "a1"), taken(turns, "b2")
        assert other.wait(10)
        assert not same.wait(0.1)
    assert same.wait(10)


@pytest.mark.parametrize("end", ["returns", "is killed"])
def test_a_process_waits_for_another_one_until_it_ends(tmp_path: Path, end: str) -> None:
    turns = Turns(tmp_path / "turns")
    with elsewhere(tmp_path / "turns") as process:
        same, other = taken(turns, "a1"), taken(turns, "b2")
        assert other.wait(10)
        assert not same.wait(0.2)
        if end == "returns":
            process.communicate("\n")
        else:
            process.kill()
        assert same.wait(10)


def test_who_fails_gives_its_turn_free(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns")
    with pytest.raises(ZeroDivisionError), turns.alone("a1"):
        raise ZeroDivisionError
    assert taken(turns, "a1").wait(10)
