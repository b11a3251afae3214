"""The signature and the modules that answer a question."""

import hashlib
import json
from pathlib import Path
from typing import Any

import dspy

from bibleqa import assertions, program_state
from bibleqa.data.item import Item
from bibleqa.nearest import NearestDemos
from bibleqa.schema import ProgramConfig


class BibleQA(dspy.Signature):
    """Answer the question about the Bible as briefly as possible: a name, a number or a few words.

    When there is a context, take the answer from it.
    """

    context: str = dspy.InputField(desc="verses of the Bible, or nothing")
    question: str = dspy.InputField()
    history: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField(desc="a name, a number or a few words")


_MODULES = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought}


def build(config: ProgramConfig) -> dspy.Module:
    """The unoptimized program."""
    module: dspy.Module = _MODULES[config.name](BibleQA)
    return module


def example(item: Item) -> dspy.Example:
    """A question as DSPy has it. Beside the signature's fields it carries what metrics and records need."""
    history = [{"question": _text(turn.question), "answer": _text(turn.answer)} for turn in item.history]
    return dspy.Example(
        context=_text(item.context),
        question=_text(item.question),
        history=dspy.History(messages=history),
        answer=_text(item.answer),
        accepted=list(item.accepted),
        id=item.id,
        type=item.type,
    ).with_inputs("context", "question", "history")


def _text(text: str) -> str:
    """A text of a dataset, in which DSPy finds no picture to fetch or file to attach."""
    return text.replace(program_state.MARKER, f" {program_state.MARKER[2:]}")


def dump(program: dspy.Module) -> dict[str, Any]:
    """The program as DSPy's JSON state, without the language model: that one is in the config."""
    state = _without_lm(program)
    for nearest in _nearest(program):
        state["nearest"] = nearest.pool()
    return state


def _without_lm(program: dspy.Module) -> dict[str, Any]:
    bare = program.deepcopy()
    bare.set_lm(None)
    state: dict[str, Any] = bare.dump_state()
    return state


def _nearest(program: dspy.Module) -> list[NearestDemos]:
    return [module for _, module in program.named_sub_modules(NearestDemos)]


def digest(program: dspy.Module) -> str:
    """sha256 of the program's state, and of the names of the models behind it: tuned weights have their own."""
    models = [predictor.lm.model if predictor.lm else None for predictor in program.predictors()]
    state = json.dumps([dump(program), models], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(state.encode()).hexdigest()


def load(program: dspy.Module, path: Path) -> dspy.Module:
    """The program of a program.json.

    Args:
        program: Built from the config of the run; whatever form the optimizer gave it, it is given here.
        path: The file.

    Raises:
        ConfigError: It is no state of such a program.
    """
    state = program_state.read(path)
    pool = state.pop("nearest", None)
    members = program_state.members(state)
    if pool:
        program = assertions.around(program, NearestDemos)
    if members:
        program = assertions.around(program, lambda module: vote([module.deepcopy() for _ in range(members)]))
    program_state.check_fits(state, _without_lm(program), path)
    program.load_state(state)
    for nearest in _nearest(program):
        nearest.fill(**pool)
    return program


def of_run(program: dspy.Module, folder: Path, lm: dspy.LM) -> dspy.Module:
    """The optimized program of a run folder, with the weights that were tuned for it.

    Args:
        program: Built from the config of the run.
        folder: The run folder.
        lm: Of the run's endpoint; a tuned model is served by its engine.
    """
    if json.loads((folder / "summary.json").read_text(encoding="utf-8"))["weights"]:
        lm = lm.copy(model=lm.provider.adopt(folder))
    loaded = load(program, folder / "program.json")
    loaded.set_lm(lm)
    return loaded


def vote(programs: list[dspy.Module]) -> dspy.Module:
    """DSPy's ensemble: all answer, and the answer that most agree on stands."""
    module: dspy.Module = dspy.Ensemble(reduce_fn=dspy.majority).compile(programs)
    return module
