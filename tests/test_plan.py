"""What a sweep may cost, and what memory it takes, is known before it begins."""

from types import SimpleNamespace

import pytest

from bibleqa import config, jobs, plan
from bibleqa.errors import ConfigError
from bibleqa.jobs import Job

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(scope="module")
def job() -> Job:
    return jobs.identify(config.compose(["optimizer=labeled", "fast=true"]))


def test_calls_are_those_of_both_measurements_and_of_the_optimizer(job: Job) -> None:
    assert plan.calls(job) == plan.Calls(baseline=4, optimizer=8, optimized=4)


def test_models_that_fit_into_memory_as_often_as_they_are_loaded_are_fine(job: Job) -> None:
    plan.check_memory([job], n_jobs=1)


def test_more_jobs_than_fit_into_memory_are_refused_with_how_many_would(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2e9))
    with pytest.raises(ConfigError, match=r"n_jobs=8: .* 6\.3 GB in all, and 2\.0 GB are free; n_jobs=2 at the most"):
        plan.check_memory([job], n_jobs=8)


def test_jobs_that_differ_in_their_optimizer_alone_share_a_baseline(job: Job) -> None:
    other = jobs.identify(config.compose(["optimizer=knn", "fast=true"]))
    another = jobs.identify(config.compose(["optimizer=knn", "fast=true", "adapter=json"]))
    assert plan.baseline_key(job) == plan.baseline_key(other) != plan.baseline_key(another)
