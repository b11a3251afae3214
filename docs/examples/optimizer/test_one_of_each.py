import dspy
from one_of_each import compile

from bibleqa.metrics import ExactMatch
from bibleqa.optimizers import Objective, Task

TRAIN = [
    dspy.Example(question=f"{kind} {number}?", answer="yes", type=kind).with_inputs("question")
    for number in (1, 2)
    for kind in ("kinship", "number", "speaker")
]


def demos(most: int) -> list[str]:
    program = dspy.Predict("question -> answer")
    task = Task(Objective(ExactMatch(), {}), TRAIN, [], lm=dspy.LM("openai/none"), teacher=None, workers=1, pool=[])
    (predictor,) = compile(program, task, most).predictors()
    assert program.demos == []  # the program that was given stays as it is
    return sorted(demo.question for demo in predictor.demos)


def test_each_family_is_shown_once() -> None:
    assert demos(most=8) == ["kinship 1?", "number 1?", "speaker 1?"]


def test_there_are_no_more_than_asked_for() -> None:
    assert len(demos(most=2)) == 2
