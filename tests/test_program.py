"""The words that reach the model: the same for a demo, a request, and a program that was saved and loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError
from dummies import FOLLOW_UP, Asked, Script, chat, example, item, model, reader

from bibleqa import assertions
from bibleqa import program as programs
from bibleqa.nearest import NearestDemos
from bibleqa.schema import AdapterConfig, AssertionsConfig, ProgramConfig

ADAPTERS = ("chat", "json", "xml")
PROGRAMS = ("predict", "chain_of_thought")
Messages = list[dict[str, Any]]


def built(name: str = "predict", demos: list[Any] | None = None) -> dspy.Module:
    program = programs.build(ProgramConfig(name))
    program.predictors()[0].demos = demos or []
    return program


def messages(adapter: str, program: dspy.Module, asked: dspy.Example) -> Messages:
    """What is sent: system message first."""
    (predictor,) = program.predictors()
    inputs = dict(asked.inputs())
    sent: Messages = programs.adapter(AdapterConfig(adapter)).format(predictor.signature, predictor.demos, inputs)
    return sent


@pytest.mark.parametrize("adapter", ADAPTERS)
class TestEveryAdapter:
    def test_history_is_written_as_turns(self, adapter: str) -> None:
        sent = messages(adapter, built(), example(1, history=FOLLOW_UP))
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "user", "assistant", "user"]
        for message, words in zip(
            sent[1:], ["Who begat Enos?", "Seth", "Who begat Seth?", "Adam", "Father1"], strict=True
        ):
            assert words in message["content"]

    def test_a_demo_is_written_as_a_request_and_its_answer(self, adapter: str) -> None:
        asked = example(1, history=FOLLOW_UP)
        request = messages(adapter, built(), asked)[1:]
        demo = messages(adapter, built(demos=[asked]), example(2))[1:-1]
        assert demo[: len(request) - 1] == request[:-1]
        assert request[-1]["content"].startswith(demo[-2]["content"])
        assert [demo[-2]["role"], demo[-1]["role"]] == ["user", "assistant"]
        assert "Son1" in demo[-1]["content"]

    def test_a_demo_without_history_is_one_exchange(self, adapter: str) -> None:
        sent = messages(adapter, built(demos=[example(1), example(2)]), example(3))
        assert [message["role"] for message in sent] == ["system", *["user", "assistant"] * 2, "user"]

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_demos_loaded_from_a_file_are_written_as_they_were(self, adapter: str, name: str, tmp_path: Path) -> None:
        bootstrapped = dspy.Example(augmented=True, **example(4).inputs(), reasoning="Thus.", answer="Son4")
        labeled = [example(1, history=FOLLOW_UP, context=""), example(2, answer="אֱלֹהִים")]
        program = built(name, [bootstrapped, *labeled])
        about = {"program": name, "adapter": adapter}
        (tmp_path / "program.json").write_text(json.dumps({**programs.dump(program), "bibleqa": about}))
        loaded = programs.load(built(name), tmp_path / "program.json")
        asked = example(3, history=FOLLOW_UP)
        assert messages(adapter, loaded, asked) == messages(adapter, program, asked)
        assert programs.digest(loaded) == programs.digest(program)

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_nothing_but_the_signatures_fields_reaches_the_prompt(self, adapter: str, name: str) -> None:
        marked = {"type": "MARKED", "variants": ("MARKED",), "reference": "MARKED 1:1", "strongs_id": "MARKED"}
        asked = programs.example(item(1, history=FOLLOW_UP, **marked))
        asked.id = "MARKED"
        sent = messages(adapter, built(name, [asked]), asked)
        assert "Father1" in str(sent)
        assert "MARKED" not in str(sent)

    def test_the_reference_answer_is_not_in_the_question(self, adapter: str) -> None:
        assert "SECRET" not in str(messages(adapter, built(), example(1, answer="SECRET", history=FOLLOW_UP)))

    def test_the_system_message_names_the_task_and_no_history_field(self, adapter: str) -> None:
        (system, *_) = messages(adapter, built(), example(1))
        assert "Answer the question about the Bible" in system["content"]
        assert "history" not in system["content"]


@pytest.mark.parametrize("adapter", ["chat", "xml"])
def test_an_unreadable_answer_is_asked_for_as_json_with_the_same_demos(adapter: str) -> None:
    answers = iter(["Seth, I think.", '{"answer": "Seth"}'])
    lm = model(lambda asked: next(answers))
    with dspy.context(lm=lm, adapter=programs.adapter(AdapterConfig(adapter))):
        prediction = built(demos=[example(1, history=FOLLOW_UP)])(**example(2).inputs())
    assert prediction.answer == "Seth"
    first, second = lm.engine.asked
    assert len(first.messages) == len(second.messages) == 7
    assert "history" not in str(second.messages)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_no_adapter_can_read_is_said_to_be_so(adapter: str) -> None:
    lm = model(lambda asked: "Seth, I think.")
    with dspy.context(lm=lm, adapter=programs.adapter(AdapterConfig(adapter))), pytest.raises(AdapterParseError):
        built()(**example(2).inputs())


def test_the_json_adapter_sends_the_schema_of_the_answer() -> None:
    lm = model(lambda asked: '{"answer": "Seth"}')
    with dspy.context(lm=lm, adapter=programs.adapter(AdapterConfig("json"))):
        built()(**example(2).inputs())
    (asked,) = lm.engine.asked
    assert '"answer"' in json.dumps(asked.config.response_format)


def test_an_example_gives_the_program_its_inputs_and_the_metric_the_rest() -> None:
    asked = example(1, history=FOLLOW_UP, variants=("Sheth",))
    assert set(asked.inputs().keys()) == {"context", "question", "history"}
    assert (asked.accepted, asked.id, asked.type) == (["Son1", "Sheth"], "i1", "kinship")


def test_the_state_holds_no_language_model() -> None:
    program = built(demos=[example(1)])
    program.set_lm(dspy.LM("script/ed", engine=Script(chat)))
    assert programs.dump(program) == programs.dump(built(demos=[example(1)]))
    assert program.get_lm() is not None


def test_the_digest_is_that_of_demos_and_instructions() -> None:
    reworded = built()
    predictor = reworded.predictors()[0]
    predictor.signature = predictor.signature.with_instructions("Answer.")
    digests = {programs.digest(p) for p in (built(), reworded, built(demos=[example(1)]), built(demos=[example(2)]))}
    assert len(digests) == 4
    assert programs.digest(built()) == programs.digest(built())


def test_the_digest_is_also_that_of_the_weights_behind_it() -> None:
    def behind(name: str) -> dspy.Module:
        program = built(demos=[example(1)])
        program.set_lm(dspy.LM(name, engine=Script(chat)))
        return program

    assert programs.digest(behind("embedded/m")) == programs.digest(behind("embedded/m"))
    digests = {programs.digest(program) for program in (behind("embedded/m"), behind("embedded/m+0a1b"), built())}
    assert len(digests) == 3
    assert programs.dump(behind("embedded/m")) == programs.dump(behind("embedded/m+0a1b"))


def nearest(program: dspy.Module) -> dspy.Module:
    pool = [dict(demo) for demo in (example(1, history=FOLLOW_UP), example(2), example(3))]
    return assertions.around(program, lambda module: NearestDemos(module, pool, 2))


def voting(program: dspy.Module) -> dspy.Module:
    def vote(module: dspy.Module) -> dspy.Module:
        members = [module.deepcopy() for _ in range(3)]
        for number, member in enumerate(members):
            member.predictors()[0].demos = [example(number, history=FOLLOW_UP)]
        return programs.vote(members)

    return assertions.around(program, vote)


def plain(program: dspy.Module) -> dspy.Module:
    program.predictors()[0].demos = [example(1)]
    return program


@pytest.mark.parametrize("checks", [{}, {"grounded": {}}], ids=["no checks", "checks"])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("form", [plain, nearest, voting])
def test_a_program_of_any_form_is_loaded_as_it_was_saved(
    form: Callable[[dspy.Module], dspy.Module], name: str, checks: dict[str, Any], tmp_path: Path
) -> None:
    def fresh() -> dspy.Module:
        return assertions.enforce(programs.build(ProgramConfig(name)), AssertionsConfig("own", checks, attempts=2))

    def asks(program: dspy.Module) -> list[Asked]:
        requests: list[Asked] = []

        def reply(asked: Asked) -> str:
            requests.append(asked)
            return ("[[ ## reasoning ## ]]\nThus.\n\n" if "reasoning" in asked.wanted else "") + chat("Nobody")

        program.set_lm(reader(reply))
        with dspy.context(adapter=programs.adapter(AdapterConfig("chat"))):
            assert program(**example(4).inputs()).answer == "Nobody"
        return requests

    program = form(fresh())
    state = {**programs.dump(program), "metadata": {"dependency_versions": {}}, "bibleqa": {"program": name}}
    (tmp_path / "program.json").write_text(json.dumps(state))
    loaded = programs.load(fresh(), tmp_path / "program.json")
    assert isinstance(loaded, assertions.Checked) == bool(checks)
    assert programs.digest(loaded) == programs.digest(program)
    sent = asks(program)
    assert asks(loaded) == sent
    assert len(sent) == (2 if checks else 1) * (3 if form is voting else 1)
    assert any("Son1" in asked.shown for asked in sent) or form is nearest
    assert all(asked.shown for asked in sent)
