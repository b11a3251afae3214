"""The engine inside the process, with the real SmolLM2."""

import gc
import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy import lm15
from dspy.utils.exceptions import LMError

from bibleqa import adapters, artifacts
from bibleqa import program as programs
from bibleqa.errors import EndpointUnusable
from bibleqa.lm import embedded, listening
from bibleqa.lm.embedded import MODELS, EmbeddedEngine, Weights
from bibleqa.schema import AdapterConfig, ProgramConfig

pytestmark = pytest.mark.slow

NAME, DEFAULT = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"
VERSES = [
    ("[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:", "Who begat Enos?", "Seth"),
    ("[Genesis 5:9] And Enos lived ninety years, and begat Cainan:", "How old was Enos?", "ninety years"),
    ("[Ruth 1:2] And the name of the man was Elimelech, and the name of his wife Naomi.", "Who was his wife?", "Naomi"),
    ("[John 11:35] Jesus wept.", "Who wept?", "Jesus"),
    ("[Exodus 2:10] And she called his name Moses.", "What did she call him?", "Moses"),
]
HISTORY = [{"question": "Who was the father of Seth?", "answer": "Adam"}]


def prompts() -> list[list[dict[str, str]]]:
    """Each question plain, behind demos, and behind demos and a conversation."""
    adapter = adapters.build(AdapterConfig("chat"))
    (predictor,) = programs.build(ProgramConfig("predict")).predictors()
    demos = [{"context": c, "question": q, "history": dspy.History(messages=[]), "answer": a} for c, q, a in VERSES[:2]]
    demos[1]["history"] = dspy.History(messages=HISTORY)
    made = []
    for context, question, _ in VERSES[:3]:
        for shown, turns in (([], []), (demos, []), (demos, HISTORY)):
            inputs = {"context": context, "question": question, "history": dspy.History(messages=turns)}
            made.append(adapter.format(predictor.signature, shown, inputs))
    return made


def model(engine: EmbeddedEngine, name: str = NAME, **keys: Any) -> dspy.LM:
    return dspy.LM(f"embedded/{name}", engine=engine, num_retries=0, cache=False, **{"max_tokens": 16, **keys})


def ask(engine: EmbeddedEngine, prompt: list[dict[str, str]]) -> str:
    """What the engine answers to a prompt, greedily."""
    system, *turns = prompt
    roles = {"user": lm15.Message.user, "assistant": lm15.Message.assistant}
    request = lm15.Request(
        model=f"embedded/{NAME}",
        system=system["content"],
        messages=tuple(roles[turn["role"]](turn["content"]) for turn in turns),
        config=lm15.Config(max_tokens=16, temperature=0.0),
    )
    return str(engine.complete(request).message.text)


def answers(order: list[int]) -> dict[int, str]:
    """The prompts' answers, asked in that order of an engine that knows nothing yet."""
    engine = EmbeddedEngine(threads=1)
    asked = prompts()
    return {number: ask(engine, asked[number]) for number in order}


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def in_order() -> dict[int, str]:
    return answers(list(range(len(prompts()))))


CONTENTS = [
    "Who?",
    "<question>\nWho?",
    "[[ ## question ## ]]\nWho?",
    "[[ ## question ## ]]\n",
    "[[ ## question ## ]]\n\nWho?",
    "[[ ## question ## ]]\n<|im_end|>\nWho?",
    "\n\nWho?",
    "<|im_end|>\nWho?",
    "",
]
TOO_LONG = "begat " * 6000


class Interrupting:
    """Has heard enough at once."""

    def begins(self) -> None:
        pass

    def hears(self, piece: str) -> None:
        raise InterruptedError


@pytest.mark.parametrize("name", [NAME, DEFAULT])
def test_every_number_of_an_answer_depends_on_its_prompt_alone(name: str) -> None:
    system, question = prompts()[0]
    in_json = {**system, "content": f"Answer in JSON. {system['content']}"}
    asked = [
        *prompts()[:4],
        [in_json, question],
        [question],
        *([system, {"role": "user", "content": c}] for c in CONTENTS),
    ]

    def probabilities(order: list[int]) -> dict[int, Any]:
        engine, found = EmbeddedEngine(threads=2), {}
        engine.load(name)
        assert engine._loaded
        model = engine._loaded[1]
        for place, number in enumerate(order):
            reply = model.answer(asked[number], {"temperature": 0, "max_tokens": 2, "logprobs": True})
            found[number] = [token["logprob"] for token in reply["choices"][0]["logprobs"]["content"]]
            if place % 4 == 1:  # what goes wrong in between
                assert "error" in model.answer([*asked[number], {"role": "user", "content": TOO_LONG}], {})
            if place % 4 == 3:
                with listening.by(Interrupting()), pytest.raises(InterruptedError):
                    model.answer(asked[number], {"max_tokens": 8})
        return found

    order = list(range(len(asked)))
    expected = probabilities(order)

    random.Random(1).shuffle(order)
    assert probabilities(order) == expected
    assert probabilities(order[-1:]) == {order[-1]: expected[order[-1]]}
    assert len({tuple(found) for found in expected.values()}) == len(asked), "logarithms tell the prompts apart"


def test_another_process_gives_the_same_answers(in_order: dict[int, str]) -> None:
    some = random.Random(2).sample(list(in_order), 4)

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(answers, some).result(timeout=240) == {number: in_order[number] for number in some}


def test_many_threads_get_the_answers_of_one(engine: EmbeddedEngine, in_order: dict[int, str]) -> None:
    asked = prompts()
    numbers = list(range(0, len(asked), 2))

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda number: ask(engine, asked[number]), numbers))

    assert said == [in_order[number] for number in numbers]


def test_unloading_costs_the_memory_back_and_no_answer(engine: EmbeddedEngine, in_order: dict[int, str]) -> None:
    import psutil

    asked = prompts()[2]
    assert ask(engine, asked) == in_order[2]
    before = psutil.Process().memory_info().rss

    engine.unload()
    gc.collect()

    assert psutil.Process().memory_info().rss < before - 50_000_000
    assert ask(engine, asked) == in_order[2]


def test_an_answer_is_held_to_a_schema(engine: EmbeddedEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "testament": {"enum": ["old", "new"]}},
        "required": ["name", "testament"],
        "additionalProperties": False,
    }
    wish = {"type": "json_schema", "json_schema": {"name": "book", "schema": schema}}

    (said,) = model(engine, max_tokens=48)("Tell me about Genesis.", response_format=wish)

    told = json.loads(said)
    assert told.keys() == {"name", "testament"}
    assert told["testament"] in ("old", "new")


def test_the_json_adapter_reads_every_answer(engine: EmbeddedEngine) -> None:
    program = programs.build(ProgramConfig("predict"))
    with dspy.context(lm=model(engine, max_tokens=32), adapter=adapters.build(AdapterConfig("json"))):
        for context, question, _ in VERSES[:3]:
            assert program(context=context, question=question, history=dspy.History(messages=HISTORY)).answer


def test_a_prompt_that_is_too_long_is_an_error_and_no_end(engine: EmbeddedEngine, in_order: dict[int, str]) -> None:
    asked = prompts()[5]

    with pytest.raises(lm15.InvalidRequestError, match="context"):
        ask(engine, [*asked[:-1], {"role": "user", "content": TOO_LONG}])
    with listening.by(Interrupting()), pytest.raises(lm15.InvalidRequestError, match="context"):
        ask(engine, [*asked[:-1], {"role": "user", "content": TOO_LONG}])

    assert ask(engine, asked) == in_order[5]


@pytest.mark.parametrize("name", [NAME, DEFAULT])
def test_a_loaded_model_takes_as_much_memory_as_is_said(name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        taken = pool.submit(memory_of, name).result(timeout=240)

    assert embedded.MEMORY.keys() == MODELS.keys()
    assert 0.75 < embedded.MEMORY[name] / taken < 1.33


def memory_of(name: str) -> int:
    """Bytes that the process grows by, all of a context having been in use."""
    import psutil
    import xllamacpp  # noqa: F401  its own code is no part of a model

    engine = EmbeddedEngine(threads=1)
    before = psutil.Process().memory_info().rss
    engine.load(name)
    assert engine._loaded
    engine._loaded[1].answer([{"role": "user", "content": "begat " * 300}], {"max_tokens": 1})
    return int(psutil.Process().memory_info().rss) - before


def test_a_name_that_no_model_has(engine: EmbeddedEngine) -> None:
    with pytest.raises(EndpointUnusable, match=f"no-such-model.*{NAME}"):
        engine.load("no-such-model")
    with pytest.raises(LMError, match="no-such-model"):
        model(engine, "no-such-model")("Hello?")

    assert model(engine)("Hello?")


def test_an_adapter_is_known_by_its_name() -> None:
    engine = EmbeddedEngine(threads=1)
    engine.adopt("tuned", NAME, Path("tuned.gguf"))
    base = artifacts.path_of(MODELS[NAME])

    assert engine.weights("tuned") == Weights(base, Path("tuned.gguf"))
    assert engine.weights(NAME) == Weights(base)


def test_a_copy_of_a_program_shares_the_loaded_model(engine: EmbeddedEngine) -> None:
    program = programs.build(ProgramConfig("predict"))
    program.set_lm(model(engine))

    assert program.deepcopy().get_lm().engine is engine
    assert EmbeddedEngine.load_state(engine.dump_state()).threads == engine.threads
