"""Language models over real HTTP, from a scripted server."""

import copy
import importlib.metadata
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import dspy
import fake_openai
import pytest
from dspy.utils.exceptions import LMError
from fake_openai import CHAT, MODEL, MODELS, Server, hang, html, reset, slow, status

from bibleqa import adapters, metrics
from bibleqa import program as programs
from bibleqa.errors import EndpointUnusable
from bibleqa.evaluation import Evaluator
from bibleqa.lm import answers, endpoints
from bibleqa.lm.answers import Archive, Source
from bibleqa.lm.meter import Meter
from bibleqa.schema import AdapterConfig, EndpointConfig, ProgramConfig

KEY = "sk-marked-for-endpoints"


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder for the cache, the key, no waiting between tries, and DSPy's cache as it was afterwards."""
    monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))
    monkeypatch.setenv("THE_KEY", KEY)
    monkeypatch.delenv("NO_KEY", raising=False)
    monkeypatch.setattr("bibleqa.lm.health._backoff", lambda failed: 0.0)
    before = dspy.cache
    yield
    dspy.cache = before


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(lambda asked: f"heard {asked.question}") as server:
        yield server


def at(server: Server | str, **keys: Any) -> EndpointConfig:
    address = server if isinstance(server, str) else server.base_url
    given = {"name": "openai", "model": MODEL, "threads": 4, "timeout": 10.0, "retries": 0, "base_url": address}
    return EndpointConfig(**{**given, **keys})


def test_another_rollout_is_another_request(server: Server) -> None:
    lm = endpoints.connect(at(server, seed=7), cache=False)

    for rollout in (1, 2):
        ask(lm.copy(rollout_id=rollout, temperature=1.0))

    assert [request.body["seed"] for request in server.chats] == [8, 9]


def test_a_missing_llama_cpp_is_an_endpoint_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(EndpointUnusable, match=r"xllamacpp: pip install"):
        endpoints.connect(EndpointConfig(name="embedded", kind="embedded", model="x", threads=1))


def test_answers_of_a_run_made_again_are_kept_until_it_has_all(server: Server) -> None:
    for _ in range(2):  # the second time after an interruption
        ask(endpoints.connect(at(server), Source(again="f1")))
    assert len(server.chats) == 1

    for _ in ("endpoint", "judge"):
        answers.forget(at(server), "f1")
    ask(endpoints.connect(at(server), Source(again="f1")))
    assert len(server.chats) == 2


def test_who_asks_the_same_at_once_waits_for_the_one_answer(server: Server) -> None:
    server.faults = [slow(0.3)]
    lms = [endpoints.connect(at(server)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(ask, lms))
    assert set(said) == {"heard Hello?"}
    assert len(server.chats) == 1


def test_an_answer_that_failed_is_asked_for_by_the_next_one(server: Server) -> None:
    server.faults = [status(400, times=1)]
    lms = [endpoints.connect(at(server)) for _ in range(2)]
    with pytest.raises(LMError):
        ask(lms[0])
    assert ask(lms[1]) == "heard Hello?"


def test_a_recorded_answer_comes_without_the_endpoint(server: Server, tmp_path: Path) -> None:
    archive = tmp_path / "answers.jsonl"
    for _ in range(2):  # asked, and from the cache
        said = ask(endpoints.connect(at(server), Source(archive=Archive(archive))))
    assert KEY not in archive.read_text()
    replayed = endpoints.connect(at(server, api_key_env="NO_KEY"), Source(recorded=tmp_path))
    assert ask(replayed) == said
    with pytest.raises(answers.NotRecorded, match="never asked"):
        ask(replayed, "Something else?")
    assert len(server.chats) == 1


def ask(lm: dspy.LM, text: str = "Hello?") -> str:
    (answer,) = lm(text)
    return str(answer)


def refusal(config: EndpointConfig) -> str:
    """The one line that a probe says of an endpoint that cannot be used."""
    with pytest.raises(EndpointUnusable) as refused:
        endpoints.probe(config, endpoints.connect(config))
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)
    return str(refused.value)


def nothing_at() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_a_probe_says_what_the_server_has_and_how_fast_it_is(server: Server) -> None:
    server.models = [MODEL, "another"]
    config = at(server)

    health = endpoints.probe(config, endpoints.connect(config))

    assert health.models == [MODEL, "another"]
    assert 0 < health.seconds < 10
    assert [request.path for request in server.requests] == [MODELS, CHAT]


def test_a_server_need_not_list_its_models(server: Server) -> None:
    server.faults = [status(404, path=MODELS)]
    config = at(server)

    assert endpoints.probe(config, endpoints.connect(config)).models == []


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("lmstudio", "LM Studio"),
        ("ollama", "ollama serve"),
        ("vllm", "vllm serve"),
        ("llamacpp", "llama-server -m"),
        ("openai", "base_url"),
    ],
)
def test_what_to_start_when_nothing_answers(kind: str, advice: str) -> None:
    address = nothing_at()

    said = refusal(at(address, kind=kind))

    assert address in said
    assert advice in said


@pytest.mark.parametrize("address", ["", "127.0.0.1:1234/v1", "http://[::1", "ftp://127.0.0.1/v1"])
def test_an_address_that_is_none(address: str) -> None:
    assert "endpoint.base_url" in refusal(at(address)) or address in refusal(at(address))


@pytest.mark.parametrize("path", [MODELS, CHAT])
@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_is_known_by_its_variable(server: Server, path: str, code: int) -> None:
    server.faults = [status(code, path=path)]

    assert "THE_KEY" in refusal(at(server, api_key_env="THE_KEY"))


def test_a_server_that_wants_a_key_and_gets_none(server: Server) -> None:
    server.key = KEY

    assert "endpoint.api_key_env" in refusal(at(server))


def test_the_key_is_sent_and_kept_out_of_every_state(server: Server) -> None:
    server.key = KEY
    config = at(server, api_key_env="THE_KEY")
    lm = endpoints.connect(config)

    endpoints.probe(config, lm)

    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert KEY not in str([vars(lm), lm.history, vars(lm.engine), config])


def test_a_key_whose_variable_is_not_set(server: Server) -> None:
    with pytest.raises(EndpointUnusable, match="NO_KEY"):
        endpoints.connect(at(server, api_key_env="NO_KEY"))


def test_a_model_that_the_server_does_not_have(server: Server) -> None:
    said = refusal(at(server, model="no-such-model"))

    assert "no-such-model" in said
    assert MODEL in said


@pytest.mark.parametrize("fault", [status(500), status(429), html(), reset()], ids=["500", "429", "html", "reset"])
def test_a_server_that_lists_models_and_does_not_answer(server: Server, fault: fake_openai.Fault) -> None:
    server.faults = [replace(fault)]

    assert "does not answer" in refusal(at(server))


def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    server.faults = [hang()]

    assert "does not answer" in refusal(at(server, timeout=1.0))


@pytest.mark.parametrize("fault", [status(429), status(500), status(503), reset()], ids=["429", "500", "503", "reset"])
def test_what_passes_is_tried_again(server: Server, fault: fake_openai.Fault) -> None:
    server.faults = [replace(fault, times=2)]

    assert ask(endpoints.connect(at(server, retries=2))) == "heard Hello?"
    assert len(server.chats) == 3


def test_tries_end(server: Server) -> None:
    server.faults = [status(503)]

    with pytest.raises(LMError, match="scripted 503"):
        ask(endpoints.connect(at(server, retries=2)))
    assert len(server.chats) == 3


def test_the_config_is_what_is_sent(server: Server) -> None:
    ask(endpoints.connect(at(server, temperature=0.5, max_tokens=77, seed=9)))

    (request,) = server.chats
    body = request.body
    assert body["model"] == MODEL
    assert body["temperature"] == 0.5
    assert body["seed"] == 9
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))


@pytest.mark.parametrize("kind", ["openai", "lmstudio", "ollama", "vllm", "llamacpp"])
def test_a_schema_is_sent_where_the_endpoint_takes_one(server: Server, kind: str) -> None:
    for response_schema in (True, False):
        server.requests.clear()
        lm = endpoints.connect(at(server, kind=kind, response_schema=response_schema))
        with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig("json"))):
            programs.build(ProgramConfig("predict"))(
                context="", question=f"Schema {response_schema}?", history=dspy.History(messages=[])
            )
        wish = server.chats[0].body.get("response_format") or {}
        assert (wish.get("type") == "json_schema") is response_schema


def test_an_answer_that_was_paid_for_is_given_again(server: Server) -> None:
    config = at(server)
    first = ask(endpoints.connect(config))
    server.answer = lambda asked: "something else"

    assert ask(endpoints.connect(config)) == first
    assert len(server.chats) == 1
    assert ask(endpoints.connect(config), "Another question?") == "something else"


def test_without_the_cache_it_is_asked_every_time(server: Server) -> None:
    config = at(server)
    ask(endpoints.connect(config))
    server.answer = lambda asked: "something else"
    lm = endpoints.connect(config, cache=False)

    assert [ask(lm), ask(lm)] == ["something else", "something else"]
    assert len(server.chats) == 3


def test_a_probe_is_never_answered_from_the_cache(server: Server) -> None:
    config = at(server)
    lm = endpoints.connect(config)

    endpoints.probe(config, lm)
    endpoints.probe(config, lm)

    assert len(server.chats) == 2


def test_an_error_is_not_kept(server: Server) -> None:
    lm = endpoints.connect(at(server))
    server.faults = [status(500, times=1)]
    with pytest.raises(LMError):
        ask(lm)

    assert ask(lm) == "heard Hello?"


def test_two_addresses_do_not_answer_for_each_other(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(fake_openai.running(lambda asked, n=n: f"from {n}")) for n in range(2)]  # type: ignore[misc]
        said = [ask(endpoints.connect(at(server))) for server in [*servers, *servers]]

    assert said == ["from 0", "from 1", "from 0", "from 1"]
    assert [len(server.chats) for server in servers] == [1, 1]
    assert len(list((tmp_path / "outputs" / ".cache").iterdir())) == 2


def test_models_that_are_connected_at_once_answer_each_for_itself(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(fake_openai.running(lambda asked, n=n: f"from {n}")) for n in range(2)]  # type: ignore[misc]
        lms = [endpoints.connect(at(server)) for server in servers]
        copies = copy.deepcopy(lms)
        said = [ask(lm) for lm in [*lms, *copies, lms[0].copy()]]

    assert said == ["from 0", "from 1", "from 0", "from 1", "from 0"]
    assert [len(server.chats) for server in servers] == [1, 1]


def test_an_answer_kept_before_is_known_by_the_same_key(server: Server, tmp_path: Path) -> None:
    lm = endpoints.connect(at(server))
    folder = answers._folder(at(server), None)
    dspy.configure_cache(disk_cache_dir=str(folder), restrict_pickle=True)  # as DSPy alone keeps answers
    plain = dspy.LM(lm.model, engine=lm.engine, **_sampled(lm))
    assert ask(plain) == "heard Hello?"
    dspy.cache.reset_memory_cache()
    answers._open.clear()

    assert ask(endpoints.connect(at(server))) == "heard Hello?"
    assert len(server.chats) == 1


def _sampled(lm: dspy.LM) -> dict[str, Any]:
    return {name: lm.kwargs[name] for name in ("temperature", "max_tokens", "seed")}


def test_as_many_questions_as_threads_are_under_way_at_once(server: Server) -> None:
    together = Barrier(4)

    def answer(asked: fake_openai.Asked) -> str:
        together.wait(20)  # breaks unless four are here at once
        return "Noah"

    server.answer = answer
    config = at(server, threads=4)
    settings = {"lm": endpoints.connect(config), "adapter": adapters.build(AdapterConfig("chat"))}
    evaluator = Evaluator(metrics.ExactMatch(), settings, Meter(), config.at_once)
    examples = [
        dspy.Example(
            context="", question=f"{n}?", history=dspy.History(messages=[]), accepted=["Noah"], id=str(n), type="t"
        ).with_inputs("context", "question", "history")
        for n in range(4)
    ]

    outcomes = evaluator.evaluate(programs.build(ProgramConfig("predict")), examples, "baseline", lambda outcome: None)

    assert [outcome.score for outcome in outcomes] == [1.0] * 4


def test_an_embedded_model_is_asked_one_question_at_a_time() -> None:
    assert EndpointConfig(name="embedded", kind="embedded", model="any", threads=8).at_once == 1
