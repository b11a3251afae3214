"""Sweeps as a user starts them, against a scripted server: what they run, leave out, and survive."""

import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fake_openai
import psutil
import pytest
from fake_openai import Server, slow, status
from project import Finished, Folder, Project, awaiting, end, stop_when
from test_experiment import TEST, know_all, learner, project_at

LONGEST = 180.0
"""Seconds that a sweep may take."""
GRID = ("-m", "optimizer=none,labeled", "assertions=none,grounded")


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(know_all) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return project_at(tmp_path / "project", server)


def sweep(project: Project, *overrides: str) -> Finished:
    return end(project.start(*overrides), within=LONGEST)


def folder(project: Project) -> Path:
    """Of the only sweep."""
    (found,) = project.root.glob("outputs/multirun/*/*/sweep.json")
    return found.parent


def jobs(project: Project) -> list[Folder]:
    """The folders of the sweep's runs."""
    return [Folder(path.parent) for path in sorted(folder(project).glob("*/config.yaml"))]


def paid(server: Server) -> Counter[str]:
    """How often each thing was asked, the probes at the beginning of runs apart."""
    asked = [json.dumps(request.body, sort_keys=True) for request in server.chats]
    return Counter(body for body in asked if "built the ark" not in body)


# One sweep, told from all sides.


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server, Finished]]:
    with fake_openai.running(learner) as server:
        project = project_at(tmp_path_factory.mktemp("swept") / "project", server)
        yield project, server, sweep(project, *GRID, "tracking=local", "hydra.launcher.n_jobs=2")


Swept = tuple[Project, Server, Finished]


@pytest.mark.slow
def test_every_combination_is_run_once_in_a_folder_named_by_its_fingerprint(swept: Swept) -> None:
    project, _, finished = swept
    assert finished.code == 0, finished.err
    summaries = {job.path.name: job.summary for job in jobs(project)}
    assert len(summaries) == 4
    assert all(summary["fingerprint"].startswith(name) for name, summary in summaries.items())
    assert {summary["status"] for summary in summaries.values()} == {"finished"}


@pytest.mark.slow
def test_jobs_share_their_answers(swept: Swept) -> None:
    _, server, _ = swept
    assert set(paid(server).values()) == {1}


@pytest.mark.slow
def test_the_screen_shows_the_jobs_and_ends_with_the_leaderboard_and_the_report(swept: Swept) -> None:
    project, _, finished = swept
    assert "4 of 4 to run" in finished.out
    assert len(re.findall(r"^finished +[\d.]+% → ", finished.out, re.M)) == 4
    assert "what each option is worth" in finished.out
    assert (folder(project) / "report.html").is_file()


@pytest.mark.slow
def test_what_a_job_says_stands_in_its_folder(swept: Swept) -> None:
    project, _, _ = swept
    assert all("target 95%" in (job.path / "screen.txt").read_text() for job in jobs(project))


@pytest.mark.slow
def test_mlflow_has_a_parent_with_a_child_for_each_job(swept: Swept) -> None:
    from mlflow import MlflowClient

    project, _, _ = swept
    parent = json.loads((folder(project) / "sweep.json").read_text())["parent"]
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'bibleqa'")
    runs = client.search_runs([experiment.experiment_id])
    children = [run.info.run_id for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert sorted(children) == sorted(job.summary["run_id"] for job in jobs(project))
    assert client.get_run(parent).info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(parent)} == {"report.html", "sweep.json"}


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(swept: Swept) -> None:
    project, server, _ = swept
    before = len(server.requests)
    again = sweep(project, *GRID, "tracking=local")
    assert again.code == 0, again.err
    assert "4 finished before" in again.out
    assert len(server.requests) == before
    assert len(jobs(project)) == 4


@pytest.mark.slow
def test_a_larger_grid_runs_what_is_new(swept: Swept) -> None:
    project, server, _ = swept
    asked = paid(server)
    planned = sweep(project, "-m", "optimizer=none,labeled,bootstrap", "plan=true")
    assert "2 finished" in planned.out
    assert re.search(r"1 of 3 to run", planned.out)
    assert "? " not in planned.out, "past runs say what a call costs"
    assert paid(server) == asked


# Planning and wrong input; nothing is run, so that these are quick.


def test_a_plan_spends_nothing_and_leaves_no_sweep(project: Project, server: Server) -> None:
    planned = project.run(*GRID, "plan=true")
    assert planned.code == 0, planned.err
    baseline = 2 * TEST  # without checks and with them
    assert re.search(rf"4 of 4 to run\s*│ {2 * baseline + 2 * 4}", planned.out), planned.out
    assert server.requests == []
    assert not (project.root / "outputs" / "multirun").exists()


def test_the_plan_of_one_run_spends_nothing_either(project: Project, server: Server) -> None:
    planned = project.run("plan=true")
    assert planned.code == 0, planned.err
    assert "1 of 1 to run" in planned.out
    assert server.requests == []
    assert project.folders == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimizer=none,unheard_of"], "optimizer=unheard_of: no such option"),
        (["optimizer=none,bootstrap", "metric=token_f1"], "optimizer=bootstrap.*metric_threshold"),
        (["optimizer=glob(zzz*)"], "a list of values is empty"),
        (["optimizer=none", "optimizer.k=1,2"], r"optimizer\.k: unknown key"),
        (["optimizer=none", "optimizer=labeled"], "optimizer: given twice, as none and as labeled"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line_and_nothing_starts(
    project: Project, server: Server, overrides: list[str], said: str
) -> None:
    finished = project.run("-m", *overrides)
    assert finished.code == 2, finished.err
    assert re.search(said, finished.complaint)
    assert server.requests == []
    assert not (project.root / "outputs" / "multirun").exists()


# Failures.


@pytest.mark.slow
def test_a_job_that_fails_does_not_stop_the_others_and_is_run_again(project: Project, server: Server) -> None:
    server.faults = [status(400, asked="## feedback")]
    server.answer = lambda asked: "Nobody"
    first = sweep(project, "-m", "assertions=none,grounded,strict", "optimizer=none")
    assert first.code == 1
    assert "2 of 3 jobs failed" in first.complaint
    assert re.search(r"assertions=strict.*400", first.out, re.S)
    assert re.search(r"[0-9a-f]{12}/run\.log", first.out)

    left_out = sweep(project, "-m", "assertions=none,grounded,strict", "optimizer=none", "retry_failed=false")
    assert left_out.code == 1
    assert len(jobs(project)) == 3

    server.faults = []
    again = sweep(project, "-m", "assertions=none,grounded,strict", "optimizer=none")
    assert again.code == 0, again.err
    assert len(jobs(project)) == 5
    once = {times for body, times in paid(server).items() if "## feedback" not in body}
    assert once == {1}, "what failed was asked again, and nothing else"


@pytest.mark.slow
def test_a_killed_process_takes_its_own_job_alone(project: Project, server: Server) -> None:
    server.faults = [slow(0.3)]
    process = project.start(*GRID, "hydra.launcher.n_jobs=2", "endpoint.threads=1")
    with awaiting(process):
        deadline = time.monotonic() + LONGEST
        while len(server.chats) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker = next(child for child in psutil.Process(process.pid).children() if "spawn_main" in str(child.cmdline()))
        worker.kill()
        server.faults = []
        finished = end(process, within=LONGEST)
    assert finished.code == 1
    assert "1 of 4 jobs failed" in finished.complaint
    assert "was killed" in finished.out
    again = sweep(project, *GRID)
    assert again.code == 0, again.err
    assert "3 finished before" in again.out


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_an_interrupted_sweep_goes_on_where_it_was(project: Project, server: Server, how: signal.Signals) -> None:
    server.faults = [slow(0.2)]
    process = project.start(*GRID, "endpoint.threads=1")
    stopped = stop_when(process, lambda: len(server.chats) > 5, how)
    if how == signal.SIGINT:
        assert stopped.code == 130
        assert stopped.err == "bibleqa: interrupted\n"
        assert "the same command goes on from there" in stopped.out
        summaries = [job.summary for job in jobs(project)]
        assert [summary["status"] for summary in summaries] == ["failed"]
        assert summaries[0]["failure"] == "KeyboardInterrupt"
    server.faults = []
    again = sweep(project, *GRID, "endpoint.threads=1")
    assert again.code == 0, again.err
    assert set(paid(server).values()) <= {1, 2}
    assert sum(paid(server).values()) <= len(paid(server)) + 1, "but for the call in flight nothing is paid twice"


@pytest.mark.slow
def test_two_sweeps_at_once_do_no_job_twice(project: Project, server: Server) -> None:
    server.faults = [slow(0.05)]
    begun = [project.start(*GRID, "tracking=local") for _ in range(2)]
    ended = [end(process, within=LONGEST) for process in begun]
    assert [finished.code for finished in ended] == [0, 0], ended
    assert set(paid(server).values()) == {1}
    found = list(project.root.glob("outputs/multirun/*/*/*/summary.json"))
    assert len(found) == 4


PROCESSES = 4


@pytest.mark.slow
def test_many_processes_on_a_fresh_store_all_finish(project: Project) -> None:
    begun = [
        project.start("optimizer=none", f"target_accuracy=0.{n}", "tracking=local") for n in range(1, PROCESSES + 1)
    ]
    ended = [end(process, within=LONGEST) for process in begun]
    assert [finished.code for finished in ended] == [0] * PROCESSES, ended
    assert len({run.summary["run_id"] for run in project.folders}) == PROCESSES


# The long one.

LARGE = ("-m", "optimizer=none,labeled,bootstrap,knn", "assertions=none,grounded", "program=predict,chain_of_thought")
KILLS = 8
THREADS = 2


def results(project: Project) -> dict[str, Any]:
    found = {}
    for pointer in (project.root / "outputs" / ".finished").glob("[!.]*"):  # a killed process may leave a draft
        run = Folder(project.root / pointer.read_text())
        found[pointer.name] = (run.summary["program_digest"], run.answers(), run.summary["optimized"])
    return found


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_ends_as_an_undisturbed_one_and_pays_nothing_twice(tmp_path: Path) -> None:
    with fake_openai.running(learner) as calm, fake_openai.running(learner) as server:
        undisturbed = project_at(tmp_path / "undisturbed", calm)
        finished = end(undisturbed.start(*LARGE, "hydra.launcher.n_jobs=2"), within=600)
        assert finished.code == 0, finished.err

        server.faults = [slow(0.1)]
        project = project_at(tmp_path / "disturbed", server)
        draw = random.Random(5)
        in_flight = 0
        for _ in range(KILLS):
            process = project.start(*LARGE, "hydra.launcher.n_jobs=2", f"endpoint.threads={THREADS}")
            time.sleep(draw.uniform(0.5, 9))
            if process.poll() is None:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                for one in family if draw.random() < 0.5 else family[:1]:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                in_flight += 2 * THREADS
            process.communicate()
        finished = end(project.start(*LARGE, "hydra.launcher.n_jobs=2", f"endpoint.threads={THREADS}"), within=600)

        assert finished.code == 0, finished.err
        assert len(results(project)) == 16
        assert results(project) == results(undisturbed)
        assert sum(paid(server).values()) - len(paid(server)) <= in_flight
