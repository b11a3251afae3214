"""Limits of a run: what it may spend, and that it goes on from there."""

import signal
import time
from pathlib import Path

import pytest
from fake_openai import slow
from faulty_runs import project, run

from bibleqa import config
from bibleqa.budget import Budget, check, within
from bibleqa.errors import ConfigError, RunFailed, Stopped
from bibleqa.schema import EndpointConfig, LimitsConfig

ENDPOINT = EndpointConfig(name="x", model="m", input_price=2.0, output_price=10.0)
USED = {"prompt_tokens": 900, "completion_tokens": 100}


def answers(budget: Budget, most: int = 100) -> int:
    """How many are bought until it stops."""
    for number in range(most):
        try:
            budget.before_call()
        except Stopped:
            return number
        budget.paid(ENDPOINT, USED)
    return most


@pytest.mark.parametrize(
    ("limits", "bought"),
    [
        (LimitsConfig(calls=3), 3),
        (LimitsConfig(tokens=2500), 3),
        (LimitsConfig(cost=0.0056), 2),  # 0.0018 + 0.001 each
        (LimitsConfig(), 100),
    ],
    ids=str,
)
def test_a_limit_stops_a_run(limits: LimitsConfig, bought: int) -> None:
    assert answers(Budget(limits)) == bought


def test_what_it_cost() -> None:
    budget = Budget(LimitsConfig(calls=3))
    answers(budget)
    assert budget.cost == pytest.approx(3 * 0.0028)


def test_a_limit_of_cost_needs_prices() -> None:
    remote = ["limits.cost=1", "endpoint=openai"]
    with pytest.raises(ConfigError, match=r"limits\.cost=1: needs endpoint\.input_price"):
        check(config.compose(remote))
    check(config.compose([*remote, "endpoint.input_price=0.4", "endpoint.output_price=1.6"]))
    check(config.compose(["limits.cost=1"]))  # an embedded model costs nothing


def test_time_that_is_over_interrupts() -> None:
    begun = time.monotonic()
    with pytest.raises(RunFailed, match=r"limits\.seconds=0\.2 is reached"), within(0.2):
        time.sleep(5)
    assert time.monotonic() - begun < 2


def test_time_is_over_also_where_ctrl_c_is_ignored_as_in_the_background() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(RunFailed, match=r"limits\.seconds=0\.2 is reached"), within(0.2):
            time.sleep(5)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_time_that_was_spent_before_counts() -> None:
    with pytest.raises(RunFailed, match=r"limits\.seconds=100 "), within(100, spent=200):
        time.sleep(5)


def test_a_run_stops_at_its_limit_and_goes_on_with_a_higher_one(tmp_path: Path) -> None:
    with project(tmp_path) as server:
        stopped = run(tmp_path, server, "bootstrap", "limits.calls=15")
        further = run(tmp_path, server, "bootstrap", "limits.calls=100")

    assert (stopped.code, stopped.summary["status"]) == (1, "failed")
    assert "limits.calls=15 is reached" in stopped.summary["failure"]
    assert sum(stopped.paid.values()) == 15
    assert further.code == 0
    assert max((stopped.paid + further.paid).values()) == 1, "nothing is paid twice"
    assert further.summary["fingerprint"] == stopped.summary["fingerprint"]


def test_a_run_that_takes_too_long_stops_and_goes_on(tmp_path: Path) -> None:
    with project(tmp_path) as server:
        server.faults = [slow(0.3, asked="Who begat")]
        stopped = run(tmp_path, server, "evaluation", "limits.seconds=1", "endpoint.threads=1")
        server.faults = []
        further = run(tmp_path, server, "evaluation", "endpoint.threads=1")

    assert (stopped.code, further.code) == (1, 0)
    assert "limits.seconds=1 is reached" in stopped.summary["failure"]
    assert max((stopped.paid + further.paid).values()) == 1
