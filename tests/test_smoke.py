"""A run as on a bare machine: the real King James text, the real SmolLM2, no key, no server."""

import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx
import pytest
from project import Finished, Project, awaiting, end

pytestmark = pytest.mark.slow

COMMAND = (
    "endpoint=embedded_tiny",
    "endpoint.threads=1",  # tests run side by side, a process for each core
    "optimizer=bootstrap",
    "dataset.max_train=8",
    "dataset.max_val=4",
    "dataset.max_test=8",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("bare"), base_url="", variables={})


@pytest.fixture(scope="module")
def finished(project: Project) -> Finished:
    return end(project.start_bare(*COMMAND), within=400)


def test_the_run_finishes_without_an_error(project: Project, finished: Finished) -> None:
    assert finished.code == 0, finished.err
    summary = project.last.summary
    assert summary["status"] == "finished"
    for phase in ("baseline", "optimized"):
        assert summary[phase]["n"] == 8
        assert summary[phase]["errors"] == 0
    assert summary["slice"] == {"train": 8, "val": 4, "test": 8, "anchors": 3}
    assert (project.root / "mlflow.db").is_file()


def answers_again(project: str, folder: str) -> dict[str, str | None]:
    """What the program of a run folder answers in this process, the test set asked from its end."""
    import os

    os.environ["BIBLEQA_PROJECT"] = project
    from bibleqa import adapters, assertions, config, metrics, reproduce
    from bibleqa import program as programs
    from bibleqa.data import slices
    from bibleqa.evaluation import Evaluator
    from bibleqa.lm import endpoints
    from bibleqa.lm.meter import Meter

    saved = config.compose(reproduce.expand([f"reproduce={folder}"]))
    lm = endpoints.connect(saved.endpoint, cache=False)
    program = assertions.enforce(programs.build(saved.program), saved.assertions)
    programs.load(program, Path(folder) / "program.json").set_lm(lm)
    examples = [programs.example(item) for item in slices.load(saved.dataset).test]
    settings = {"lm": lm, "adapter": adapters.build(saved.adapter)}
    evaluator = Evaluator(metrics.build(saved), settings, Meter(), workers=1)
    outcomes = evaluator.evaluate(program, examples[::-1], "optimized", lambda outcome: None)
    return {outcome.id: outcome.raw if outcome.unreadable else outcome.prediction for outcome in outcomes}


def test_the_saved_program_gives_the_same_answers_in_another_process_and_order(
    project: Project, finished: Finished
) -> None:
    said = {p["id"]: p["raw"] if p["unreadable"] else p["prediction"] for p in project.last.of("optimized")}
    assert len(said) == 8

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        again = pool.submit(answers_again, str(project.root), str(project.last.path)).result(timeout=240)

    assert again == said


def served(project: Project) -> tuple[float, httpx.Response]:
    """Seconds until page and model are there, and what is answered then."""
    begun = time.monotonic()
    process = project.bibleqa("serve", "--port=0")
    with awaiting(process):
        assert process.stdout
        address = process.stdout.readline().split("/ask")[0]
        with httpx.Client(base_url=address, timeout=60) as client:
            assert "Ask the Bible" in client.get("/ask").text
            while (ready := client.get("/health/ready")).status_code == 503:
                assert time.monotonic() < begun + 60, ready.text
                time.sleep(0.02)
            seconds = time.monotonic() - begun  # the model is loaded and has answered its first question
            reply = client.post("/api/dspy/ask", json={"question": "Who created the heavens?"})
        process.send_signal(signal.SIGINT)
        assert end(process).code == 0
    return seconds, reply


def test_the_page_and_the_program_answer_within_ten_seconds_of_the_start_of_the_server(
    project: Project, finished: Finished
) -> None:
    promoted = end(project.bibleqa("promote", str(project.last.path), "--anyway"))
    assert promoted.code == 0, promoted.err

    took, reply = zip(*(served(project) for _ in range(2)), strict=True)
    answered = reply[1].json()
    assert reply[1].status_code == 200, answered
    assert len(answered["citations"]) == 5
    assert answered["attempts"] == 1
    assert min(took) < 10, "seconds; another test beside this one makes either slower"
