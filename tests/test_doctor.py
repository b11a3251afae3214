"""`bibleqa doctor`: what it says of a machine, and its exit code."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import dspy
import fake_openai
import pytest
from fake_openai import MODEL, Server, Verbatim, status

from bibleqa import artifacts, cli

LINES = ["python", "files", "packages", "model", "endpoint", "dataset", "tracking"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that knows its Bible, in a project with a small dataset."""
    monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))
    monkeypatch.setenv(artifacts.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-for-the-doctor")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for split in ("train", "val", "test"):
        row = {"id": split, "question": f"Who built the ark, {split}?", "answer": "Noah"}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    before = dspy.cache
    with fake_openai.running(answers={"Who begat Enos?": "Seth"}) as server:
        yield server
    dspy.cache = before


@pytest.fixture
def doctor(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> "Doctor":
    return Doctor(server, tmp_path, capsys)


class Doctor:
    """The command, with everything in order unless told otherwise."""

    def __init__(self, server: Server, project: Path, capsys: pytest.CaptureFixture[str]):
        self.given = {
            "endpoint": "openai",
            "endpoint.base_url": server.base_url,
            "endpoint.model": MODEL,
            "endpoint.retries": "0",
            "dataset": "jsonl",
            **{f"dataset.{split}": str(project / f"{split}.jsonl") for split in ("train", "val", "test")},
            "tracking": "none",
        }
        self._capsys = capsys

    def __call__(self, *overrides: str) -> tuple[int, dict[str, str]]:
        """The exit code, and what is said of each thing, led by `ok` or `wrong`."""
        chosen = {override.partition("=")[0] for override in overrides}
        given = [f"{key}={value}" for key, value in self.given.items() if key not in chosen]
        code = cli.main(["doctor", *given, *overrides])
        out = self._capsys.readouterr().out
        lines = [re.fullmatch(r"(ok|wrong)\s+(\w+)\s+(.*)", line) for line in out.splitlines()]
        assert all(lines), out
        said = {line[2]: f"{line[1]} {line[3]}" for line in lines if line}
        assert list(said) == LINES, "all is looked at, whatever is wrong"
        return code, said


def wrong(said: dict[str, str]) -> list[str]:
    return [name for name, text in said.items() if text.startswith("wrong")]


def test_all_is_well(doctor: Doctor, server: Server) -> None:
    code, said = doctor()

    assert code == 0
    assert wrong(said) == []
    assert f"{MODEL} answers 'Seth'" in said["endpoint"]
    assert f"the server has {MODEL}" in said["endpoint"]
    assert "1 train, 1 val, 1 test" in said["dataset"]
    assert "dspy 3" in said["packages"]
    assert said["tracking"] == "ok nothing is tracked"


def test_each_visit_asks_anew(doctor: Doctor, server: Server) -> None:
    doctor()
    first = len(server.chats)
    doctor()

    assert len(server.chats) == 2 * first


def test_a_server_that_is_down(doctor: Doctor) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

    code, said = doctor(f"endpoint.base_url={address}")

    assert code == 3
    assert wrong(said) == ["endpoint"]
    assert address in said["endpoint"]


def test_a_key_that_is_not_set(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    code, said = doctor()

    assert code == 3
    assert wrong(said) == ["endpoint"]
    assert "OPENAI_API_KEY" in said["endpoint"]


def test_a_key_that_is_refused(doctor: Doctor, server: Server) -> None:
    server.key = "another"

    code, said = doctor()

    assert code == 3
    assert "OPENAI_API_KEY" in said["endpoint"]
    assert "sk-marked" not in str(said)


def test_a_model_that_does_not_keep_to_the_format(doctor: Doctor, server: Server) -> None:
    server.answer = lambda asked: Verbatim("I would say Seth.")

    code, said = doctor()

    assert code == 0
    assert "answers 'I would say Seth.'" in said["endpoint"]
    assert "does not keep to the chat format: try adapter=auto" in said["endpoint"]


def test_a_model_that_cannot_be_read(doctor: Doctor, server: Server) -> None:
    server.answer = lambda asked: Verbatim("[[ ## question ## ]]")

    code, said = doctor()

    assert code == 3
    assert wrong(said) == ["endpoint"]
    assert "adapter=auto" in said["endpoint"]


def test_a_format_that_is_yet_to_be_picked_is(doctor: Doctor, server: Server) -> None:
    server.answer = lambda asked: "Seth" if asked.markup == "json" else Verbatim("[[ ## question ## ]]")

    code, said = doctor("adapter=auto")

    assert code == 0
    assert "adapter=auto: json" in said["endpoint"]
    assert "answers 'Seth'" in said["endpoint"]


def test_a_server_that_fails_at_the_question(doctor: Doctor, server: Server) -> None:
    server.faults = [status(500, asked="Enos")]

    code, said = doctor()

    assert code == 3
    assert wrong(said) == ["endpoint"]
    assert "scripted 500" in said["endpoint"]


def test_a_dataset_that_is_not_there(doctor: Doctor) -> None:
    code, said = doctor("dataset.val=/no/such/file.jsonl")

    assert code == 2
    assert wrong(said) == ["dataset"]
    assert "/no/such/file.jsonl" in said["dataset"]


def test_an_embedded_model_of_no_known_name(doctor: Doctor) -> None:
    for key in ("endpoint.base_url", "endpoint.retries"):
        del doctor.given[key]

    code, said = doctor("endpoint=embedded", "endpoint.model=no-such-model")

    assert code == 2
    assert wrong(said) == ["model", "endpoint"]
    assert "smollm2-135m-instruct" in said["model"]


def test_the_store_is_made_and_counted(doctor: Doctor, tmp_path: Path) -> None:
    code, said = doctor("tracking=local")

    assert code == 0
    assert "0 runs" in said["tracking"]
    assert (tmp_path / "mlflow.db").is_file()


def test_a_store_that_cannot_be_used(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("This is no database, whatever its name says.")

    code, said = doctor("tracking=local")

    assert code == 1
    assert wrong(said) == ["files", "tracking"]
    assert said["files"].endswith("bibleqa doctor --fix repairs it")
    assert "mlflow.db" in said["tracking"]


def test_a_config_that_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))

    assert cli.main(["doctor", "endpoint=telepathy"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "endpoint=telepathy" in err
