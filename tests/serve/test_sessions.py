"""What is kept of conversations, and how much of it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibleqa.data.item import Turn
from bibleqa.errors import BibleQAError
from bibleqa.serve.sessions import Bounds, Sessions

Open = Callable[..., Sessions]


def content(answer: str | None = "Seth") -> dict[str, Any]:
    return {"answer": answer, "context": "", "citations": [], "served": {}}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    made: list[Sessions] = []

    def of(**other: Any) -> Sessions:
        made.append(Sessions(tmp_path / "sessions.db", **other))
        return made[-1]

    yield of
    for sessions in made:
        sessions.close()


def test_turns_come_back_in_order_also_after_a_new_start(opened: Open) -> None:
    sessions = opened()
    assert [sessions.append("a", f"question {n}", content(f"answer {n}")) for n in range(3)] == [1, 2, 3]
    sessions.append("b", "another", content())
    sessions.close()
    assert [kept.turn for kept in opened().turns("a")] == [Turn(f"question {n}", f"answer {n}") for n in range(3)]


def test_an_answer_that_could_not_be_read_is_no_history(opened: Open) -> None:
    sessions = opened()
    sessions.append("a", "question", content(None))
    (kept,) = sessions.turns("a")
    assert kept.turn is None


def test_of_ten_thousand_turns_the_latest_are_kept(opened: Open, tmp_path: Path) -> None:
    sessions = opened(bounds=Bounds(turns=3))
    for number in range(10_000):
        sessions.append("a", f"question {number}", content())
    assert [(kept.number, kept.question) for kept in sessions.turns("a")] == [
        (number, f"question {number - 1}") for number in (9_998, 9_999, 10_000)
    ]
    assert (tmp_path / "sessions.db").stat().st_size < 100_000


def test_a_session_that_nobody_asked_for_long_is_forgotten(opened: Open) -> None:
    now = 1000.0
    sessions = opened(bounds=Bounds(seconds=60), clock=lambda: now)
    sessions.append("old", "question", content())
    now += 60
    assert sessions.turns("old") == []
    sessions.append("new", "question", content())
    assert len(sessions) == 1
    assert sessions.append("old", "question", content()) == 1


def test_of_too_many_sessions_those_asked_last_are_kept(opened: Open) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    sessions = opened(bounds=Bounds(sessions=2), clock=clock)
    for session in ("a", "b", "a", "c"):
        sessions.append(session, "question", content())
    assert [len(sessions.turns(session)) for session in "abc"] == [2, 0, 1]


def test_ten_thousand_sessions_take_no_time(opened: Open) -> None:
    sessions = opened()
    begun = time.perf_counter()
    for number in range(10_000):
        sessions.append(f"session-{number}", "Who begat Enos?", content())
    assert len(sessions) == 10_000
    assert sessions.turns("session-5000")[0].question == "Who begat Enos?"
    assert time.perf_counter() - begun < 20


def test_a_forgotten_session_stands_nowhere_in_the_file(opened: Open, tmp_path: Path) -> None:
    sessions = opened()
    sessions.append("a", "a private question", content())
    assert sessions.delete("a")
    assert not sessions.delete("a")
    sessions.close()
    assert b"private" not in (tmp_path / "sessions.db").read_bytes()


def test_many_threads_at_one_session_lose_no_turn(opened: Open) -> None:
    sessions, other = opened(bounds=Bounds(turns=1000)), opened(bounds=Bounds(turns=1000))
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: (sessions, other)[n % 2].append("a", str(n), content()), range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert len(sessions.turns("a")) == 200


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(BibleQAError, match=r"sessions\.db: cannot be used .* move it away"):
        Sessions(path)


def test_a_file_of_a_newer_version_is_left_alone(opened: Open, tmp_path: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(BibleQAError, match="newer version"):
        opened()


@settings(max_examples=40)
@given(
    turns=st.integers(1, 4),
    most=st.integers(100, 600),
    asked=st.lists(st.tuples(st.sampled_from("ab"), st.text(st.characters(codec="utf-8"), max_size=80)), max_size=20),
)
def test_what_is_kept_is_the_longest_end_within_the_bounds(turns: int, most: int, asked: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder, closing(Sessions(Path(folder) / "s.db", Bounds(turns, most))) as sessions:
        for session, question in asked:
            sessions.append(session, question, {"answer": question})
        for session in "ab":
            questions = [question for one, question in asked if one == session]
            kept = [one.question for one in sessions.turns(session)]
            assert kept == questions[len(questions) - len(kept) :]
            assert _size(kept) <= most
            assert len(kept) <= turns
            if len(kept) < min(turns, len(questions)):
                one_more = questions[len(questions) - len(kept) - 1 :]
                assert _size(one_more) > most


def _size(questions: list[str]) -> int:
    import json

    return sum(len(q.encode()) + len(json.dumps({"answer": q}, ensure_ascii=False).encode()) for q in questions)
