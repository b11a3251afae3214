"""The promoted program as MLflow serves it, "models from code": MLflow runs this file where it loads the model.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow models serve -m models:/bibleqa@champion --env-manager local

It takes a question, and a context and a history if there are any; it gives an answer, or none where what the model
said cannot be read. This package must be installed where it runs.
"""

from pathlib import Path
from typing import Any

import dspy
import pandas as pd
from dspy.utils.exceptions import AdapterParseError
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from bibleqa import adapters, assertions, promotion
from bibleqa import program as programs
from bibleqa.data.item import Item, Turn
from bibleqa.lm import endpoints


class PromotedProgram(PythonModel):
    """Answers questions; the model of its endpoint is loaded or asked with the first one."""

    def load_context(self, context: Any) -> None:
        """Build the program of the folder that MLflow keeps."""
        folder = Path(context.artifacts["program"])
        config = promotion.config_of(folder)
        lm = endpoints.connect(config.endpoint)
        program = assertions.enforce(programs.build(config.program), config.assertions, config.plugins)
        self._program = programs.of_run(program, folder, lm)
        self._settings = {"lm": self._program.get_lm(), "adapter": adapters.build(config.adapter)}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The answer to each row of a table of questions."""
        return pd.DataFrame({"answer": [self._answer(row) for row in model_input.to_dict("records")]}, dtype=object)

    def _answer(self, row: dict[str, Any]) -> str | None:
        turns: Any = row.get("history")
        asked = Item(
            id="asked",
            context=row["context"] if isinstance(row.get("context"), str) else "",
            question=row["question"],
            answer="",
            history=tuple(Turn(turn["question"], turn["answer"]) for turn in turns) if _is_there(turns) else (),
        )
        with dspy.context(**self._settings):
            try:
                return str(self._program(**programs.example(asked).inputs()).answer)
            except AdapterParseError:
                return None


def _is_there(turns: Any) -> bool:
    """Whether a cell of a table holds turns: an empty one holds NaN or None."""
    return hasattr(turns, "__iter__")


set_model(PromotedProgram())
