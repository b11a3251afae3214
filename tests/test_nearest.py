"""Demos that change with the question."""

from typing import Any

import dspy
from dummies import FOLLOW_UP, Asked, example, reader
from optimizing import TRAIN, right

from bibleqa import adapters
from bibleqa import program as programs
from bibleqa.nearest import NearestDemos
from bibleqa.schema import AdapterConfig, ProgramConfig

POOL: list[dict[str, Any]] = [
    {"question": question, "context": "", "history": dspy.History(messages=[]), "answer": answer}
    for question, answer in [
        ("Which Strong's number is love?", "G26"),
        ("Who begat Methuselah?", "Enoch"),
        ("How many years did Enoch live?", "365"),
        ("Who begat Enoch?", "Jared"),
    ]
]


def asked(program: NearestDemos, question: str) -> Asked:
    requests: list[Asked] = []

    def reply(request: Asked) -> str:
        requests.append(request)
        return "[[ ## answer ## ]]\nx\n\n[[ ## completed ## ]]"

    program.set_lm(reader(reply))
    with dspy.context(adapter=adapters.build(AdapterConfig("chat"))):
        program(context="", question=question, history=dspy.History(messages=[]))
    return requests[0]


def shown(program: NearestDemos, question: str) -> list[str]:
    text = asked(program, question).shown
    questions = [demo["question"] for demo in POOL]
    return sorted((question for question in questions if question in text), key=text.find)


def nearest(k: int) -> NearestDemos:
    return NearestDemos(programs.build(ProgramConfig("predict")), POOL, k)


def test_the_demos_are_those_worded_most_like_the_question_the_nearest_last() -> None:
    assert shown(nearest(2), "Who begat Enosh?") == ["Who begat Methuselah?", "Who begat Enoch?"]
    assert shown(nearest(1), "How many years did Adam live?") == ["How many years did Enoch live?"]


def test_there_are_never_more_demos_than_there_are_to_choose_from() -> None:
    assert len(shown(nearest(9), "Who begat Enosh?")) == 4


def test_without_demos_it_answers_alone() -> None:
    assert asked(NearestDemos(programs.build(ProgramConfig("predict"))), "Who begat Enosh?").shown == ""


def test_one_question_leaves_nothing_for_the_next() -> None:
    program = nearest(1)
    shown(program, "How many years did Adam live?")
    assert shown(program, "Who begat Enosh?") == ["Who begat Enoch?"]
    (predictor,) = program.predictors()
    assert predictor.demos == []


def test_a_demos_history_is_written_as_turns() -> None:
    pool = [dict(example(1, history=FOLLOW_UP))]
    program = NearestDemos(programs.build(ProgramConfig("predict")), pool, 1)
    assert "Who begat Enos?" in asked(program, "Whom did Father2 beget?").shown


def test_a_copy_answers_alike() -> None:
    program = nearest(2)
    assert shown(program.deepcopy(), "Who begat Enosh?") == shown(program, "Who begat Enosh?")


def test_its_state_is_plain_and_tells_other_pools_apart() -> None:
    programs_of = [nearest(1), nearest(2), NearestDemos(programs.build(ProgramConfig("predict")), POOL[:2], 1)]
    assert len({programs.digest(program) for program in programs_of}) == 3
    plain = [{**demo, "history": {"messages": []}} for demo in POOL]
    assert programs.dump(nearest(2))["nearest"] == {"k": 2, "demos": plain}


def test_it_answers_from_many_threads_at_once() -> None:
    program = NearestDemos(programs.build(ProgramConfig("predict")), [dict(one) for one in TRAIN], 1)
    program.set_lm(reader(right))
    with dspy.context(adapter=adapters.build(AdapterConfig("chat"))):
        answered = dspy.Parallel(num_threads=4, disable_progress_bar=True)(
            [(program, dict(one.inputs())) for one in TRAIN * 4]
        )
    assert [one.answer for one in answered] == [one.answer for one in TRAIN * 4]
