"""This project's evaluator as a run uses it: answers kept and archived, each prediction written down, progress shown.

With `bare` as a fourth argument nothing is kept and nothing written.
"""

import os
import sys
import tempfile
from pathlib import Path

from measure import QUESTION, asked, measured

from bibleqa import adapters, garbage, metrics, report
from bibleqa import program as programs
from bibleqa.budget import Budget
from bibleqa.data.item import Item
from bibleqa.evaluation import Evaluator, Outcome
from bibleqa.lm import endpoints
from bibleqa.lm.answers import SHARED, Archive, Source
from bibleqa.lm.meter import Meter
from bibleqa.runs import RunFolder
from bibleqa.schema import AdapterConfig, EndpointConfig, LimitsConfig, ProgramConfig

garbage.collect_seldom()
address, at_once, examples = asked()
bare = "bare" in sys.argv
with tempfile.TemporaryDirectory() as project:
    os.environ["BIBLEQA_PROJECT"] = project
    folder = RunFolder(Path(project))
    endpoint = EndpointConfig(name="openai", kind="openai", model="scripted", base_url=address, threads=at_once)
    archive = Archive(folder.path / "answers.jsonl")
    source = SHARED if bare else Source(archive=archive, budget=Budget(LimitsConfig()))
    lm = endpoints.connect(endpoint, source, cache=not bare)
    program = programs.build(ProgramConfig("predict"))
    program.set_lm(lm)
    settings = {"lm": lm, "adapter": adapters.build(AdapterConfig("chat"))}
    evaluator = Evaluator(metrics.theological(), settings, Meter(), endpoint.at_once)
    questions = [
        programs.example(Item(id=str(number), context="", question=QUESTION.format(number), answer="Seth"))
        for number in range(examples)
    ]
    endpoints.probe(endpoint, lm)

    def evaluate() -> float:
        """Right answers."""
        with report.progress("baseline", examples) as show:

            def keep(outcome: Outcome) -> None:
                folder.append("predictions.jsonl", outcome.to_json())
                show(outcome)

            outcomes = evaluator.evaluate(program, questions, "baseline", show if bare else keep)
        return sum(outcome.score or 0 for outcome in outcomes)

    measured(evaluate)
