"""The words that reach the model: the same for a demo, a request, and a program that was saved and loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest
from dummies import FOLLOW_UP, Asked, Script, built, chat, example, reader

from bibleqa import adapters, assertions
from bibleqa import program as programs
from bibleqa.nearest import NearestDemos
from bibleqa.schema import AdapterConfig, AssertionsConfig, ProgramConfig

PROGRAMS = ("predict", "chain_of_thought")


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
        with dspy.context(adapter=adapters.build(AdapterConfig("chat"))):
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
