"""The signature and the modules that answer a question."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dspy

from bibleqa import assertions, program_state, retrieval
from bibleqa.data.item import Item, Turn
from bibleqa.lm.answers import SHARED, Source
from bibleqa.nearest import NearestDemos
from bibleqa.retrieval import Retriever
from bibleqa.schema import Config, ProgramConfig


class BibleQA(dspy.Signature):
    """Answer the question about the Bible as briefly as possible: a name, a number or a few words.

    When there is a context, take the answer from it.
    """

    context: str = dspy.InputField(desc="verses of the Bible, or nothing")
    question: str = dspy.InputField()
    history: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField(desc="a name, a number or a few words")


class RetrieveThenAnswer(dspy.Module):
    """Finds verses for a question without context and answers from them; one with a context is answered from that.

    Its predictor is told the verses as a context, so that they stand in the demos that an optimizer makes of its
    answers.
    """

    def __init__(self, retriever: Retriever, k: int):
        """Make the program.

        Args:
            retriever: Finds the verses; copies of the program share it.
            k: How many.
        """
        super().__init__()
        self.answer = dspy.Predict(BibleQA)
        self._retriever = retriever
        self._k = k

    def forward(self, context: str, question: str, history: dspy.History) -> dspy.Prediction:
        """Answer a question."""
        return self.answer(context=context or self.found(question, history), question=question, history=history)

    def found(self, question: str, history: dspy.History) -> str:
        """The verses for a question, as a context."""
        turns = [Turn(turn["question"], turn["answer"]) for turn in history.messages]
        passages = self._retriever.search(question, self._k, turns)
        retrieval.note(passages)
        return retrieval.context_of(passages)


_MODULES = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought}


def build(config: ProgramConfig, retriever: Retriever | None = None, k: int = 0) -> dspy.Module:
    """The unoptimized program.

    Args:
        config: Its name.
        retriever: What finds verses, for a program that retrieves.
        k: How many it finds.
    """
    if config.retrieves:
        assert retriever
        return RetrieveThenAnswer(retriever, k)
    module: dspy.Module = _MODULES[config.name](BibleQA)
    return module


def of_config(config: Config, source: Source = SHARED) -> dspy.Module:
    """The unoptimized program of a run, with the retriever that it has.

    Args:
        config: Checked.
        source: Where the run has its answers from.

    Raises:
        ConfigError: See `retrieval.build`.
    """
    if not config.program.retrieves:
        return build(config.program)
    return build(config.program, retrieval.build(config.retriever, config.embedder, source), config.retriever.k)


def with_contexts(program: dspy.Module, examples: Iterable[dspy.Example]) -> list[dspy.Example]:
    """Train questions as the predictor of a program is asked them: with the verses that it finds.

    An optimizer that makes demos or lessons out of the questions themselves then shows what an answer is taken from.
    """
    finders = [module for _, module in program.named_sub_modules(RetrieveThenAnswer)]
    if not finders:
        return list(examples)
    return [one if one.context else one.copy(context=finders[0].found(one.question, one.history)) for one in examples]


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
