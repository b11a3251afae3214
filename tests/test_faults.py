"""Whatever goes wrong with an endpoint: nothing is lost, no error counts as an answer, and a run ends with the truth.

`python benchmarks/faults.py` tries every fault at every rate in runs of every kind; here the plain evaluation meets
them all, and optimizers meet one of each sort at 30 %.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest
from faulty_runs import (
    FAULTS,
    KINDS,
    OF_THE_ENDPOINT,
    PATIENCE,
    RATES,
    READABLE,
    Case,
    Run,
    certified,
    happens,
    project,
    run,
)

pytestmark = pytest.mark.slow

ONE_OF_EACH = (
    "429 with Retry-After",
    "500",
    "200 garbage",
    "slow beyond timeout",
    "reset",
    "plain string",
    "null content",
    "truncated",
)
"""The server says when to come back, fails, talks nonsense, is silent, hangs up; the answer is odd, none, or half."""

CASES = [
    Case(fault, rate, kind)
    for fault in FAULTS
    for kind in KINDS
    for rate in RATES
    if kind == "evaluation" or (rate == 0.3 and fault in ONE_OF_EACH)
]


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waiting takes a tenth of its time, and DSPy's cache is as it was afterwards."""
    monkeypatch.setattr("bibleqa.lm.health._backoff", lambda failed: min(0.05 * 2.0 ** (failed - 1), 1.0))
    before = dspy.cache
    yield
    dspy.cache = before


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssl.SSLContext]:
    with certified(tmp_path_factory.mktemp("certificate")) as context:
        yield context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of each kind in which nothing goes wrong."""
    runs = {}
    for kind in KINDS:
        root = tmp_path_factory.mktemp(kind)
        with project(root) as server:
            runs[kind] = run(root, server, kind)
    return runs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault(case: Case, tmp_path: Path, tls: ssl.SSLContext, undisturbed: dict[str, Run]) -> None:
    calm = undisturbed[case.kind]
    assert calm.code == 0

    came = happens(case, tmp_path, tls, calm)

    assert (came.lost, came.wrong) == (0, 0)
    if case.fault in OF_THE_ENDPOINT:
        assert came.first.code == (3 if case.rate == 1 else 0)
        assert came.last.code == 0
        assert came.unequal == 0
        if case.rate == 1:
            assert came.first.seconds < calm.seconds + PATIENCE + 5
            assert "same command" in came.first.summary["failure"]
    elif case.fault in READABLE:
        assert (came.first.code, came.unequal) == (0, 0)
    else:
        assert came.first.code in (0, 1)
        baseline = [line for line in came.first.predictions if line["phase"] == "baseline"]
        changed = [line for line in baseline if line["score"] < calm_score(calm, line["id"])]
        assert all(line["ended"] for line in changed)
        assert bool(changed) or case.rate < 1


def calm_score(calm: Run, id: str) -> float:
    return next(line["score"] for line in calm.predictions if (line["phase"], line["id"]) == ("baseline", id))
