"""What callers do while an endpoint does not answer."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from dspy import lm15

from bibleqa.errors import EndpointUnusable, Stopped
from bibleqa.lm import health
from bibleqa.lm.health import Health, may_pass
from bibleqa.schema import EndpointConfig

DOWN = lm15.ServerError("down", status=503)


class Endpoint:
    """Answers, or fails with what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked: list[str] = []

    def __call__(self, what: str = "question") -> str:
        self.asked.append(what)
        if self.error:
            raise self.error
        return "answer"


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_backoff", lambda failed: 0.01)


def of(endpoint: Endpoint, told: list[str] | None = None, **keys: float) -> Health:
    config = EndpointConfig(**{"name": "x", "model": "m", "base_url": "http://x/v1", "patience": 0.2, **keys})  # type: ignore[arg-type]
    return Health(config, lambda: endpoint("probe"), (told if told is not None else []).append)


def well(endpoint: Endpoint, told: list[str] | None = None, **keys: float) -> Health:
    """Of an endpoint that has answered before."""
    found = of(endpoint, told, **keys)
    found.ask(endpoint)
    endpoint.asked.clear()
    return found


def failing(times: int, error: Exception = DOWN) -> Callable[[], str]:
    left = iter([error] * times)

    def call() -> str:
        if failure := next(left, None):
            raise failure
        return "answer"

    return call


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (lm15.TransportError("read failed: [Errno 104] Connection reset by peer"), True),
        (lm15.TransportError("TLS handshake failed: [SSL] unexpected eof"), True),
        (lm15.TransportError("TLS handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), False),
        (lm15.RateLimitError("slow down", status=429), True),
        (lm15.RateLimitError("no credit", status=429, provider_code="insufficient_quota"), False),
        (lm15.ServerError("down", status=500), True),
        (lm15.TimeoutError("late", status=504), True),
        (lm15.ProviderError("the reply is not JSON", status=200), True),
        (lm15.AuthError("who?", status=401), False),
        (lm15.BillingError("pay", status=402), False),
        (lm15.ContextLengthError("too long", status=400), False),
        (lm15.InvalidRequestError("what?", status=400), False),
        (lm15.UnsupportedFeatureError("images"), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_may_pass(error: lm15.LM15Error, passes: bool) -> None:
    assert may_pass(error, answered=True) is passes
    assert may_pass(error, answered=False) is passes


@pytest.mark.parametrize(
    "error",
    [
        lm15.UnsupportedModelError("no such model", status=404),
        lm15.InvalidRequestError("Model unloaded.", status=400),
        lm15.InvalidRequestError("No models loaded. Please load a model", status=400),
    ],
    ids=str,
)
def test_a_model_that_was_there_comes_back_and_one_that_never_was_does_not(error: lm15.LM15Error) -> None:
    assert may_pass(error, answered=True)
    assert not may_pass(error, answered=False)


def test_a_question_is_asked_again_as_often_as_the_config_says(endpoint: Endpoint) -> None:
    assert well(endpoint, retries=3).ask(failing(3)) == "answer"
    with pytest.raises(lm15.ServerError, match="down"):
        well(endpoint, retries=3).ask(failing(4))


def test_what_cannot_pass_is_not_asked_again(endpoint: Endpoint) -> None:
    endpoint.error = lm15.AuthError("who?")
    with pytest.raises(lm15.AuthError):
        of(endpoint).ask(endpoint)
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_never_answered_is_not_waited_for(endpoint: Endpoint) -> None:
    endpoint.error = DOWN
    with pytest.raises(lm15.ServerError):
        of(endpoint, retries=20, pause_after=1).ask(endpoint)
    assert endpoint.asked == ["question"] * 3


def test_retry_after_holds_back_everybody(endpoint: Endpoint) -> None:
    some = well(endpoint, patience=10)
    begun = time.monotonic()
    limited = threading.Thread(target=lambda: some.ask(failing(1, lm15.RateLimitError("slow", retry_after=0.3))))
    limited.start()
    time.sleep(0.05)

    some.ask(endpoint)

    assert time.monotonic() - begun >= 0.3
    limited.join()


def test_nobody_waits_longer_than_patience_because_a_server_says_so(endpoint: Endpoint) -> None:
    with pytest.raises(lm15.RateLimitError, match="tomorrow"):
        well(endpoint).ask(failing(1, lm15.RateLimitError("tomorrow", retry_after=86400)))


def test_in_an_outage_one_asks_and_the_others_wait_until_it_is_over(endpoint: Endpoint) -> None:
    told: list[str] = []
    some = well(endpoint, told, patience=30, pause_after=3, retries=2)
    endpoint.error = DOWN
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(some.ask, endpoint) for _ in range(20)]
        time.sleep(0.3)
        before = list(endpoint.asked)
        time.sleep(0.2)
        during = endpoint.asked[len(before) :]
        endpoint.error = None
        assert [answer.result(5) for answer in answers] == ["answer"] * 20

    assert before.count("question") <= 3 + 8  # those in a row, and what was under way with them
    assert set(during) == {"probe"}
    assert [what.split()[3:5] for what in told] == [["does", "not"], ["answers", "again"]]


def test_when_patience_is_over_everybody_stops(endpoint: Endpoint) -> None:
    some = well(endpoint, patience=0.1, pause_after=2)
    endpoint.error = DOWN
    with ThreadPoolExecutor(4) as pool:
        failures = [pool.submit(some.ask, endpoint).exception(5) for _ in range(6)]

    assert {type(failure) for failure in failures} == {Stopped}
    assert all(isinstance(failure, Stopped) and isinstance(failure.reason, EndpointUnusable) for failure in failures)
    assert "has not answered for 0.1 s (down" in str(failures[0])


def test_an_outage_that_turns_out_to_be_for_good_is_not_waited_out(endpoint: Endpoint) -> None:
    some = well(endpoint, patience=60, pause_after=1)
    endpoint.error = lm15.AuthError("who?")
    with pytest.raises(Stopped, match=r"who\?"):
        some.ask(failing(1))


def test_a_question_that_always_fails_does_not_hold_up_the_others(endpoint: Endpoint) -> None:
    some = well(endpoint, retries=7, pause_after=5, patience=60)

    with pytest.raises(lm15.ServerError):
        some.ask(failing(100))

    assert some.ask(endpoint) == "answer"


def test_who_waits_is_let_go_when_the_run_ends(endpoint: Endpoint) -> None:
    some = well(endpoint, patience=600, pause_after=1)
    endpoint.error = DOWN
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(some.ask, endpoint) for _ in range(3)]
        time.sleep(0.1)
        health.give_up()
        assert {type(one.exception(2)) for one in waiting} == {Stopped}
