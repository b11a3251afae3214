"""What each kind of server understands: against scripted ones, and against llama.cpp's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dspy
import httpx
import pytest
from dialect_servers import LLAMA, QWEN, SERVERS, LlamaCpp, LMStudio, Local, Ollama, running
from dspy import lm15
from dspy.clients.engines.lm15_engine import LM15Engine
from dspy.utils.exceptions import LMServerError
from fake_openai import Fault
from project import Project, end
from test_doctor import Doctor

from bibleqa import adapters, artifacts
from bibleqa import program as programs
from bibleqa.errors import EndpointUnusable
from bibleqa.lm import endpoints
from bibleqa.lm import models as weights
from bibleqa.lm.dialects import DIALECTS
from bibleqa.schema import AdapterConfig, EndpointConfig, ProgramConfig

KINDS = list(SERVERS)
ABSENT = "mistral-nemo-instruct-2407"
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["Noah", "Moses"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def own_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("THE_KEY", "sk-marked-for-dialects")
    monkeypatch.setenv(artifacts.CACHE_VARIABLE, str(project / "cache"))
    before = dspy.cache
    yield
    dspy.cache = before


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Local]:
    """The server of the test's kind."""
    kind = request.node.callspec.params["kind"]
    with running(SERVERS[kind]) as server:
        yield server


@contextmanager
def lm_studio(*loaded: str, on_demand: bool = True) -> Iterator[LMStudio]:
    with running(LMStudio) as server:
        server.loaded, server.on_demand = list(loaded), on_demand
        yield server


def at(server: Local, kind: str, model: str = QWEN, **keys: Any) -> EndpointConfig:
    given = {"base_url": server.base_url, "api_key_env": "THE_KEY" if kind == "openai" else None}
    return EndpointConfig(
        **{"name": kind, "kind": kind, "model": model, "retries": 0, "timeout": 10.0, **given, **keys}
    )


def refusal(config: EndpointConfig) -> str:
    with pytest.raises(EndpointUnusable) as refused:
        endpoints.probe(config, endpoints.connect(config))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_of_each_kind_is_listed_and_answers(server: Local, kind: str) -> None:
    config = at(server, kind, seed=3, max_tokens=77)
    lm = endpoints.connect(config)

    assert endpoints.probe(config, lm).models == server.models
    assert lm("Hello?") == ["heard Hello?"]
    with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig("json"))):
        said = programs.build(ProgramConfig("predict"))(context="", question="Who?", history=dspy.History(messages=[]))

    assert said.answer == "heard Who?"
    body = server.chats[-1].body
    assert body["response_format"]["type"] == "json_schema"
    assert (body["temperature"], body["seed"]) == (0.0, 3)
    assert body["max_completion_tokens" if kind == "openai" else "max_tokens"] == 77


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_a_server_does_not_have(server: Local, kind: str) -> None:
    said = refusal(at(server, kind, ABSENT))

    assert f"{DIALECTS[kind].name} lists no {ABSENT}; it has " in said
    assert all(model in said for model in server.models)
    assert "endpoint.model=" in said
    get = {"lmstudio": "lms get", "ollama": "ollama pull", "vllm": "vllm serve", "llamacpp": "--alias"}
    assert kind == "openai" or f"{get[kind]} {ABSENT}`" in said
    # Where another model would answer in its place, no question is asked.
    assert bool(server.chats) is not DIALECTS[kind].substitutes


def engine(server: Local, kind: str) -> LM15Engine:
    """DSPy's engine for the server, with nothing of ours around it."""
    policy = lm15.AccessPolicy(provider=f"bibleqa-{kind}", base_url=server.base_url)
    definition = lm15.ProviderDefinition.chat(policy, compat=DIALECTS[kind].compat(), placeholder_key=server.key or "-")
    return LM15Engine(lm15.RouterConfig(providers=(definition,)))


def asking(kind: str, **config: Any) -> lm15.Request:
    hello = (lm15.Message.user("Hello?"),)
    return lm15.Request(model=f"bibleqa-{kind}:{QWEN}", messages=hello, config=lm15.Config(max_tokens=7, **config))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wish", ["json_object", "json_schema"])
def test_a_response_format_is_sent_where_it_is_taken(server: Local, kind: str, wish: str) -> None:
    schema = {"schema": SCHEMA, "name": "answer"} if wish == "json_schema" else {}
    request = asking(kind, response_format={"type": wish, **schema}, stop=("\n\n",))

    answer = endpoints.connect(at(server, kind)).engine.complete(request)

    assert answer.message.text == "heard Hello?"
    kept = wish in DIALECTS[kind].formats
    body = server.chats[-1].body
    assert (body.get("response_format") or {}).get("type") == (wish if kept else None)
    assert body["stop"] == ["\n\n"]
    if not kept:
        with pytest.raises(lm15.InvalidRequestError, match="response_format"):
            engine(server, kind).complete(request)


@pytest.mark.parametrize("error", ["Unexpected endpoint or method. (POST /chat)", {"message": "Model unloaded."}])
def test_an_error_is_one_also_with_status_200(error: Any) -> None:
    with running(LMStudio) as server:
        server.faults = [Fault(body=json.dumps({"error": error}))]
        with pytest.raises(lm15.ProviderError, match=r"Unexpected endpoint|Model unloaded"):
            endpoints.connect(at(server, "lmstudio")).engine.complete(asking("lmstudio"))


def test_another_model_that_is_loaded_in_its_place_does_not_answer_for_it() -> None:
    with lm_studio(QWEN, on_demand=False) as server:
        lm = endpoints.connect(at(server, "lmstudio"), cache=False)
        assert lm("Hello?") == ["heard Hello?"]
        server.loaded = [LLAMA]

        with pytest.raises(LMServerError, match=f"{LLAMA} answers now, it was {QWEN}"):
            lm("Hello?")


@pytest.mark.parametrize("kind", KINDS)
def test_doctor_names_what_the_server_has(
    server: Local, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-for-dialects")
    doctor = Doctor(server, tmp_path, capsys)
    option = f"endpoint={'lm_studio' if kind == 'lmstudio' else kind}"

    _, well = doctor(option, f"endpoint.model={QWEN}", "adapter=json")
    code, wrong = doctor(option, f"endpoint.model={ABSENT}")

    assert f"{QWEN} answers 'heard Who begat Enos?'" in well["endpoint"]
    assert f"the server has {server.models[0]}" in well["endpoint"]
    assert code == 3
    assert f"lists no {ABSENT}" in wrong["endpoint"]
    assert server.models[0] in wrong["endpoint"]


def test_lm_studio_without_loading_on_demand_wants_the_model_loaded() -> None:
    with lm_studio(QWEN, on_demand=False) as server:
        said = refusal(at(server, "lmstudio", LLAMA))
        assert (
            f"LM Studio has {QWEN} loaded, not {LLAMA}: endpoint.model={QWEN}, or load it: `lms load {LLAMA}`" in said
        )
        assert not server.chats
        server.loaded = []
        assert f"no model loaded, not {LLAMA}: load it: `lms load {LLAMA}`" in refusal(at(server, "lmstudio", LLAMA))


def test_lm_studio_with_loading_on_demand_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lm_studio(QWEN) as server:
        _, said = Doctor(server, tmp_path, capsys)("endpoint=lm_studio", f"endpoint.model={LLAMA}", "adapter=json")

    assert f"{LLAMA} answers" in said["endpoint"]
    assert f"loaded until then: {QWEN};" in said["endpoint"]


@pytest.mark.parametrize("name", [f"qwen/{QWEN}", f"{QWEN}@q4_k_m", f"qwen/{QWEN}@q8_0"])
def test_lm_studio_knows_a_model_by_several_names(name: str) -> None:
    with lm_studio(QWEN) as server:
        served = endpoints.models(at(server, "lmstudio"))

    assert DIALECTS["lmstudio"].complaint(name, served) is None


def test_an_address_of_lm_studio_that_lacks_its_end() -> None:
    with lm_studio(QWEN) as server:
        assert "ends in /v1" in refusal(at(server, "lmstudio", base_url=server.base_url.removesuffix("/v1")))


def test_ollama_loads_a_model_by_any_of_its_names() -> None:
    with running(Ollama) as server:
        config = at(server, "ollama", LLAMA)
        health = endpoints.probe(config, endpoints.connect(config))

        assert health.loaded_before == [f"{QWEN}:latest"]
        assert [(one.id, one.loaded) for one in endpoints.models(config)] == [
            (f"{QWEN}:latest", True),
            (f"{LLAMA}:latest", True),
        ]


def test_a_server_that_is_still_loading() -> None:
    with running(LlamaCpp) as server:
        server.loading = True
        assert "still loading" in refusal(at(server, "llamacpp"))
        server.loading = False
        assert endpoints.probe(at(server, "llamacpp"), endpoints.connect(at(server, "llamacpp"))).models == [QWEN]


def test_models_of_llama_cpp_that_load_when_asked() -> None:
    def read(path: str) -> httpx.Response:
        rows = [{"id": QWEN, "status": {"value": "loaded"}}, {"id": LLAMA, "status": {"value": "unloaded"}}]
        return httpx.Response(200, json={"data": rows} if path == "models" else {"status": "ok"})

    served = DIALECTS["llamacpp"].models(read)

    assert [one.loaded for one in served] == [True, False]
    assert DIALECTS["llamacpp"].complaint(LLAMA, served) is None
    assert DIALECTS["llamacpp"].loaded_instead(LLAMA, served) == [QWEN]


@pytest.mark.parametrize("body", ["<html>", "[]", '{"data": "none"}', '{"data": [1, {"name": 2}]}'])
@pytest.mark.parametrize("kind", KINDS)
def test_a_list_that_is_none_says_nothing(kind: str, body: str) -> None:
    served = DIALECTS[kind].models(lambda path: httpx.Response(200, text=body))

    assert served == []
    assert DIALECTS[kind].complaint(QWEN, served) is None


def test_a_run_is_refused_that_another_model_would_answer(tmp_path: Path) -> None:
    with lm_studio(QWEN) as server:
        project = Project(tmp_path, server.base_url)
        row = {"id": "1", "question": "Who built the ark?", "answer": "Noah"}
        for split in ("train", "val", "test"):
            project.write(split, [{**row, "id": split, "question": f"Who built the ark, {split}?"}])
        finished = project.run("endpoint=lm_studio", f"endpoint.model={ABSENT}", "optimizer=none")

        assert finished.code == 3
        assert f"LM Studio lists no {ABSENT}; it has {QWEN} (loaded)" in finished.complaint
        assert not server.chats


def serve(gguf: str, pipe: Connection) -> None:
    """llama.cpp's server with a model, until the other end is closed."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {"smollm2"}
    params.n_ctx, params.n_parallel = 8192, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = params.ui = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    pipe.send(server.listening_address)
    pipe.poll(None)


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    """The address of llama.cpp's own server, up to /v1."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(
        target=serve, args=(str(artifacts.fetch(weights.SMOLLM2_135M)), theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "it does not start"
        yield f"{ours.recv()}/v1"
    finally:
        ours.close()
        process.join(10)
        process.kill()


@pytest.mark.slow
def test_llama_cpp_over_the_wire(llama_cpp: str) -> None:
    config = EndpointConfig(name="llamacpp", kind="llamacpp", model="smollm2", base_url=llama_cpp, retries=0)
    lm = endpoints.connect(config, cache=False)

    assert endpoints.probe(config, lm).models == ["smollm2"]
    assert [one.loaded for one in endpoints.models(config)] == [True]
    assert lm("Who built the ark?")[0].strip()
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert json.loads(lm("Who built the ark?", response_format=schema)[0])["answer"] in ("Noah", "Moses")
    lm("Tell me all of Genesis.", max_tokens=3)
    assert lm.history[-1]["response"].finish_reason == "length"
    assert httpx.get(f"{llama_cpp}/nothing").status_code == 404
    absent = EndpointConfig(name="llamacpp", kind="llamacpp", model=ABSENT, base_url=llama_cpp, retries=0)
    assert f"lists no {ABSENT}; it has smollm2 (loaded): endpoint.model=smollm2" in refusal(absent)


@pytest.mark.slow
def test_a_run_with_llama_cpp_over_the_wire(llama_cpp: str, tmp_path: Path) -> None:
    project = Project(tmp_path, llama_cpp, variables={})
    for split, count in (("train", 2), ("val", 1), ("test", 3)):
        rows = [
            {"id": f"{split}{n}", "question": f"Who built ark {n} of {split}?", "answer": "Noah"} for n in range(count)
        ]
        project.write(split, rows)

    chosen = (
        "endpoint=llamacpp",
        "endpoint.model=smollm2",
        "endpoint.max_tokens=32",
        "adapter=json",
        "optimizer=labeled",
    )
    finished = end(project.start(*chosen), within=240)

    assert finished.code == 0, finished.err
    for phase in ("baseline", "optimized"):
        assert project.last.summary[phase]["n"] == 3
        assert project.last.summary[phase]["errors"] == 0
