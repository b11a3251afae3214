"""What a sweep may cost, and what memory it takes, is known before it begins."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_experiment import row

from bibleqa import config, jobs
from bibleqa.errors import ConfigError
from bibleqa.jobs import Job
from bibleqa.optimizer_limits import Calls, calls
from bibleqa.sweeps import plan


@pytest.fixture
def planned(project: Path) -> Callable[..., Job]:
    """A job over a few questions of one's own."""
    for split in ("train", "val", "test"):
        lines = [json.dumps(row(split, number)) + "\n" for number in range(4)]
        (project / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    own = ["dataset=jsonl", *(f"dataset.{split}={project / split}.jsonl" for split in ("train", "val", "test"))]
    return lambda *overrides: jobs.identify(config.compose([*own, *overrides]))


def test_calls_are_those_of_both_measurements_and_of_the_optimizer(planned: Callable[..., Job]) -> None:
    config = planned("optimizer=labeled").config

    assert calls(config, train=4, val=4, test=4) == Calls(baseline=4, optimizer=8, optimized=4)


def test_to_replay_asks_nothing_and_to_evaluate_measures_once(planned: Callable[..., Job]) -> None:
    config = planned("optimizer=labeled").config

    config.reproduce.mode = "replay"
    assert calls(config, train=4, val=4, test=4).total == 0
    config.reproduce.mode = "evaluate"
    assert calls(config, train=4, val=4, test=4) == Calls(baseline=0, optimizer=0, optimized=4)


def test_models_that_fit_into_memory_as_often_as_they_are_loaded_are_fine(planned: Callable[..., Job]) -> None:
    plan.check_memory([planned("optimizer=none")], n_jobs=1)


def test_more_jobs_than_fit_into_memory_are_refused_with_how_many_would(
    planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2e9))
    with pytest.raises(ConfigError, match=r"n_jobs=8: .* 8\.4 GB in all, and 2\.0 GB are free; n_jobs=1 at the most"):
        plan.check_memory([planned("optimizer=none")], n_jobs=8)


def test_jobs_that_differ_in_their_optimizer_alone_share_a_baseline(planned: Callable[..., Job]) -> None:
    one, other, another = planned("optimizer=labeled"), planned("optimizer=knn"), planned("adapter=json")
    assert plan.baseline_key(one) == plan.baseline_key(other) != plan.baseline_key(another)
