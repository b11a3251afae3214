"""A program, a scripted model that answers and writes, and what an optimizer makes of them."""

import json
import re
from collections.abc import Callable
from typing import Any

import dspy
from dspy.utils.exceptions import LMServerError
from dummies import Asked, chat, example, reader, son, taken_apart

from bibleqa import adapters, assertions, optimizers
from bibleqa import program as programs
from bibleqa.checks import build
from bibleqa.config import options
from bibleqa.errors import RunFailed
from bibleqa.evaluation import Evaluator
from bibleqa.lm.meter import Meter
from bibleqa.metrics import Contains
from bibleqa.optimizers import Objective, Optimized, Task
from bibleqa.schema import AdapterConfig, AssertionsConfig, OptimizerConfig, ProgramConfig

TRAIN = [example(n) for n in range(8)]
VAL = [example(n) for n in range(20, 24)]
MAGIC = "Name the son."
"""What a scripted writer puts into the instructions."""
GROUNDED = AssertionsConfig("grounded", {"grounded": {}}, attempts=2)

_SMALL: dict[str, dict[str, Any]] = {
    "none": {},
    "labeled": {"k": 3},
    "knn": {"k": 2},
    "bootstrap": {"max_bootstrapped_demos": 2, "max_labeled_demos": 3},
    "bootstrap_random_search": {
        "max_bootstrapped_demos": 2,
        "max_labeled_demos": 3,
        "num_candidate_programs": 2,
    },
    "copro": {"breadth": 2, "depth": 2},
    "mipro": {
        "budget": None,
        "num_candidates": 2,
        "num_trials": 4,
        "max_bootstrapped_demos": 2,
        "max_labeled_demos": 2,
    },
    "gepa": {"max_metric_calls": 24},
    "simba": {"bsize": 4, "num_candidates": 2, "max_steps": 2},
    "infer_rules": {"max_bootstrapped_demos": 2, "max_labeled_demos": 3, "num_candidates": 2, "max_examples": 4},
    "ensemble": {"size": 2},
    "better_together": {"strategy": "p -> r"},
}
_OF = {"name": "bootstrap_random_search", **_SMALL["bootstrap_random_search"]}
_STEPS = {"p": {"name": "bootstrap", **_SMALL["bootstrap"]}, "r": {"name": "copro", **_SMALL["copro"]}}
_SMALL["ensemble"]["of"] = _OF
_SMALL["better_together"]["steps"] = _STEPS
NAMES = [name for name in _SMALL if name != "none"]

Reply = Callable[[Asked], str | Exception]


def small(name: str, **values: Any) -> OptimizerConfig:
    """An optimizer with a budget for eight questions, made as the config makes one."""
    made = options.option("optimizer", name, {**_SMALL[name], **values})
    assert isinstance(made, OptimizerConfig)
    return made


def number(asked: Asked) -> int:
    """Of the question."""
    return int(son(asked.last)[3:])


def right(asked: Asked) -> str:
    return _answer(asked, son(asked.last))


def wrong(asked: Asked) -> str:
    return _answer(asked, "Nobody")


def _answer(asked: Asked, answer: str) -> str:
    return ("[[ ## reasoning ## ]]\nThus.\n\n" if "reasoning" in asked.wanted else "") + chat(answer)


def down(asked: Asked) -> Exception:
    return LMServerError("upstream broke")


def babble(asked: Asked) -> str:
    return "[[ ## question ## ]]\nno format at all"


def write(asked: Asked) -> str:
    """The magic words in whatever form an optimizer wants of whoever writes for it."""
    modules = re.search(r"\[\[ ## module_names ## \]\]\n(\[.*?\])", asked.last, re.DOTALL)
    advice = json.dumps(dict.fromkeys(json.loads(modules[1]) if modules else [], MAGIC))
    fields = {name: advice if name == "module_advice" else MAGIC for name in asked.wanted}
    if asked.in_json:
        return json.dumps(fields)
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in fields.items()) + "[[ ## completed ## ]]"


def answers(asked: Asked) -> bool:
    """Whether it is the program that asks, and not a writer."""
    return "answer" in asked.wanted


def knows(when: Callable[[Asked], bool], *, writer: Reply = write) -> Reply:
    """Answers rightly when so; what optimizers ask besides goes to a writer."""

    def reply(asked: Asked) -> str | Exception:
        if not answers(asked):
            return writer(asked)
        return right(asked) if when(asked) else wrong(asked)

    return reply


def shown(asked: Asked) -> bool:
    """What a model is that needs a demo for questions it was not taught."""
    return number(asked) < 20 or "Son" in asked.shown


def told(asked: Asked) -> bool:
    """What a model is that needs the magic words."""
    return MAGIC in asked.system


class Setting:
    """A program and its model, and what an optimizer makes of them."""

    def __init__(
        self,
        reply: Reply,
        *,
        checks: AssertionsConfig | None = None,
        program: str = "predict",
        teacher: Reply | None = None,
        seed: int | None = None,
    ):
        self.lm = reader(reply, seed=seed)
        self.teacher = reader(teacher, "script/teacher") if teacher else None
        checks = checks or AssertionsConfig("none")
        self.checks = build(checks)
        self.program = assertions.enforce(programs.build(ProgramConfig(program)), checks)
        self.program.set_lm(self.lm)
        self.meter = Meter(for_optimizer=True)
        self.told: list[str] = []

    def task(self, train: list[dspy.Example] = TRAIN, workers: int = 2) -> Task:
        return Task(
            metric=Objective(Contains(6), self.checks),
            trainset=train,
            valset=VAL,
            lm=self.lm,
            teacher=self.teacher,
            workers=workers,
            pool=train,
            tell=self.told.append,
        )

    def optimize(self, config: OptimizerConfig | str, train: list[dspy.Example] = TRAIN, workers: int = 2) -> Optimized:
        settings = {"lm": self.lm, "adapter": adapters.build(AdapterConfig("chat"))}
        with dspy.context(**settings, **self.meter.settings):
            return optimizers.optimize(
                small(config) if isinstance(config, str) else config,
                self.program,
                self.task(train, workers),
                lambda program: self.on_val(program, self.meter),
                self.meter,
            )

    def on_val(self, program: dspy.Module, meter: Meter | None = None) -> float:
        settings = {"lm": self.lm, "adapter": adapters.build(AdapterConfig("chat"))}
        outcomes = Evaluator(Contains(6), settings, meter or Meter(), 2).evaluate(program, VAL, "val", lambda _: None)
        if errors := [outcome.error for outcome in outcomes if outcome.error]:
            raise RunFailed(errors[-1]["message"])
        return sum(outcome.score or 0.0 for outcome in outcomes) / len(outcomes)

    def asked(self) -> list[Asked]:
        """All that the student was asked."""
        return [taken_apart(request) for request in self.lm.engine.asked]


def demos(program: dspy.Module) -> list[Any]:
    return [demo for predictor in program.predictors() for demo in predictor.demos]


def bootstrapped(program: dspy.Module) -> list[Any]:
    return [demo for demo in demos(program) if demo.get("augmented", False)]


def instructions(program: dspy.Module) -> str:
    text: str = program.predictors()[0].signature.instructions
    return text


def on_val(result: Optimized) -> tuple[float | None, float | None]:
    """Baseline and what was chosen."""
    chosen = next(one for one in result.candidates if one.program is result.program)
    return result.candidates[0].val, chosen.val
