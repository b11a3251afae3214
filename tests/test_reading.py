"""Whole runs against a model that does not answer as asked: what is salvaged, cut off, refused, and empty."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_openai
import pytest
import yaml
from dummies import ECHO
from fake_openai import Asked, Server, Verbatim, cut_off, empty, refused, status
from project import Finished, Project
from test_experiment import TEST, know_all, project_at, son

SENT = {
    "test-1": "**Answer:** Father-test-1",
    "test-2": 'Sure: {"answer": "Father-test-2"}',
    "test-3": "Father-test-3",
    "test-4": ECHO,
}


def wayward(asked: Asked) -> str:
    """Knows every answer, and does not keep to the format where `SENT` says so."""
    name = son(asked) or ""
    return Verbatim(SENT[name]) if name in SENT else know_all(asked)


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(wayward) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return project_at(tmp_path / "project", server)


def told(prediction: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(prediction[name] for name in ("score", "unreadable", "raw", "salvaged", "ended"))


def test_what_was_not_a_whole_answer_as_asked_is_told_apart_also_when_it_comes_from_the_cache(
    project: Project, server: Server
) -> None:
    server.faults = [
        cut_off(asked="Son-test-4?"),
        cut_off(asked="Son-test-5?"),
        refused(asked="Son-test-6?"),
        cut_off(asked="Son-test-7?", message={"content": None}),
        empty(asked="Son-test-8?"),
        cut_off(asked="Son-test-9?", finish_reason="content_filter"),
    ]
    expected = {
        "test0": (1.0, False, None, None, None),
        "test1": (1.0, False, None, "headers", None),
        "test2": (1.0, False, None, "json", None),
        "test3": (1.0, False, None, "plain", None),
        "test4": (0.0, True, ECHO, None, "length"),
        "test5": (1.0, False, None, None, "length"),
        "test6": (0.0, True, "I cannot help with that.", None, "refused"),
        "test7": (0.0, True, "", None, "length"),
        "test8": (0.0, True, "", None, "empty"),
        "test9": (1.0, False, None, None, "refused"),
    }
    for again in ([], ["target_accuracy=0.5"]):
        asked = len(server.questions)

        finished = project.run("optimizer=none", *again)

        assert finished.code == 0, finished.err
        assert not again or len(server.questions) == asked
        predictions = {p["id"]: told(p) for p in project.last.of("baseline")}
        assert {id: predictions[id] for id in expected} == expected
        baseline = project.last.summary["baseline"]
        assert baseline["unreadable"] == 4
        assert baseline["salvaged"] == {"json": 1, "headers": 1, "plain": 1}
        assert baseline["ended"] == {"length": 3, "refused": 2, "empty": 1}
        assert baseline["score"] == pytest.approx((TEST - 4) / TEST)
        longest = yaml.safe_load((project.last.path / "config.yaml").read_text())["endpoint"]["max_tokens"]
        assert "not in the format asked for: 3 baseline, 3 optimized" in finished.out
        assert (
            f"cut off at {longest} tokens: 3 baseline, 3 optimized; endpoint.max_tokens={2 * longest}" in finished.out
        )
        assert "refused: 2 baseline" in finished.out
        assert "empty: 1 baseline" in finished.out


def test_a_model_that_answers_as_asked_is_not_talked_about(project: Project, server: Server) -> None:
    server.answer = know_all
    finished = project.run("optimizer=none")
    assert finished.code == 0, finished.err
    for words in ("format asked for", "cut off", "refused", "empty", "max_tokens"):
        assert words not in finished.out


# adapter=auto.

AUTO = ("adapter=auto", "optimizer=none")


def json_alone(asked: Asked) -> str:
    """Answers, and keeps to the format, in JSON alone."""
    return know_all(asked) if asked.markup == "json" else Verbatim(ECHO)


def adapter(project: Project) -> str:
    name: str = yaml.safe_load((project.last.path / "config.yaml").read_text())["adapter"]["name"]
    return name


def said(finished: Finished) -> list[str]:
    return [line for line in finished.out.splitlines() if line.startswith("adapter=auto")]


def test_the_format_that_the_model_keeps_to_is_picked_once(project: Project, server: Server) -> None:
    server.answer = json_alone

    planned = project.run(*AUTO, "plan=true")

    assert planned.code == 0, planned.err
    assert said(planned) == ["adapter=auto would first ask fake-model 9 questions"]
    assert server.requests == []

    first = project.run(*AUTO)

    assert first.code == 0, first.err
    assert said(first) == [
        "adapter=auto: json for fake-model; of 3 kept to it, and right: chat 0 and 0, json 3 and 0, xml 0 and 0"
    ]
    assert adapter(project) == "json"
    assert len(server.questions) == 9 + TEST
    (kept,) = (project.root / "outputs" / ".cache").glob("format-*.json")
    assert json.loads(kept.read_text())["found"]["json"] == {"kept": 3, "right": 0}

    asked = len(server.requests)
    for again in (("adapter=json", "optimizer=none"), AUTO):
        finished = project.run(*again)
        assert "This run was made before" in finished.out
    assert len(server.requests) == asked, "nothing is asked"

    other = project.run(*AUTO, "target_accuracy=0.5")

    assert said(other) == said(first)
    assert len(server.questions) == 9 + TEST


@pytest.mark.parametrize(
    ("right", "picked"), [(("chat", "json", "xml"), "chat"), (("json", "xml"), "json"), (("xml",), "xml")]
)
def test_of_formats_that_are_kept_alike_the_one_with_right_answers_then_the_first(
    project: Project, server: Server, right: tuple[str, ...], picked: str
) -> None:
    known = {"Who begat Enos?": "Seth", "Who besought Pilate?": "Joseph"}
    server.answer = lambda asked: (
        know_all(asked) if son(asked) else known.get(asked.question, "?") if asked.markup in right else "Nobody"
    )
    assert project.run(*AUTO).code == 0
    assert adapter(project) == picked


def test_an_endpoint_that_fails_while_a_format_is_picked_is_unusable(project: Project, server: Server) -> None:
    server.faults = [status(500, asked="Enos")]

    finished = project.run(*AUTO, "endpoint.retries=0")

    assert finished.code == 3
    assert "adapter=auto" in finished.complaint
    assert "scripted 500" in finished.complaint
    assert project.folders == []
    assert not list((project.root / "outputs" / ".cache").glob("format-*"))


def test_what_is_remembered_and_damaged_is_found_out_anew(project: Project, server: Server) -> None:
    assert project.run(*AUTO).code == 0
    (kept,) = (project.root / "outputs" / ".cache").glob("format-*.json")
    kept.write_text("{", encoding="utf-8")
    assert project.run(*AUTO).code == 0
    assert json.loads(kept.read_text())["found"]["chat"]["kept"] == 3


@pytest.mark.slow
def test_in_a_sweep_the_format_is_picked_before_its_jobs_are_told_apart(project: Project, server: Server) -> None:
    server.answer = json_alone
    grid = ("-m", "adapter=auto,json", "optimizer=none,labeled")

    planned = project.run(*grid, "plan=true")

    assert "would first ask fake-model 9 questions" in planned.out
    assert server.requests == []

    finished = project.run(*grid)

    assert finished.code == 0, finished.err
    assert "2 jobs" in finished.out, "the picked one is the same run as the one that is named"
    assert len(said(finished)) == 1
    assert len(list(project.root.glob("outputs/multirun/*/*/*/summary.json"))) == 2
