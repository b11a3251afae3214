"""The promoted program as MLflow serves it, "models from code": MLflow runs this file where it loads the model.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow models serve -m models:/bibleqa@champion --env-manager local

It takes a question, and a context and a history if there are any, and answers as `bibleqa serve` does; it gives no
answer where what the model said cannot be read. This package must be installed where it runs.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from bibleqa import promotion, reproduce
from bibleqa.data.item import Turn
from bibleqa.results import past
from bibleqa.serve.answerer import Answerer


class PromotedProgram(PythonModel):
    """Answers questions; the model of its endpoint is loaded or asked with the first one."""

    def load_context(self, context: Any) -> None:
        """Build the program of the folder that MLflow keeps."""
        folder = Path(context.artifacts["program"])
        # Who lets MLflow load a model lets it run the model's code: its checks are no further trust.
        plugins = reproduce.quoted(past.find(str(folder)).config["plugins"])
        self._answerer = Answerer(folder, promotion.said(folder, [f"plugins={plugins}"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The answer to each row of a table of questions."""
        return pd.DataFrame({"answer": [self._answer(row) for row in model_input.to_dict("records")]}, dtype=object)

    def _answer(self, row: dict[str, Any]) -> str | None:
        context = row.get("context")
        return self._answerer.answer(
            row["question"],
            context=context if isinstance(context, str) else None,
            history=_history(row.get("history")),
        ).answer


def _history(cell: Any) -> tuple[Turn, ...]:
    """The turns in a cell of a table; an empty one holds NaN or None."""
    if cell is None or isinstance(cell, float):
        return ()
    try:
        turns = tuple(Turn(turn["question"], turn["answer"]) for turn in cell)
    except (KeyError, TypeError):
        turns = None
    if turns is None or not all(isinstance(text, str) for turn in turns for text in (turn.question, turn.answer)):
        raise MlflowException.invalid_parameter_value('history: a list of {"question", "answer"} is wanted, both text')
    return turns


set_model(PromotedProgram())
