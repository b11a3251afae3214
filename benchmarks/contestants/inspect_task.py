"""inspect_ai: a task with one generation and the scorer `includes`, its log written as it comes."""

import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
from measure import QUESTION, asked, measured

address, at_once, examples = asked()
samples = [Sample(input=QUESTION.format(number), target="Seth", id=number) for number in range(examples)]
task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes())
model = get_model("openai-api/scripted/scripted", base_url=address, api_key="none")


def evaluate() -> float:
    """Right answers."""
    with tempfile.TemporaryDirectory() as folder:
        limits = {"max_connections": at_once, "max_samples": at_once}
        (log,) = eval(task, model=model, display="none", log_dir=folder, **limits)
    return float(log.results.scores[0].metrics["accuracy"].value * examples)


measured(evaluate)
