"""A program whose demos change with the question: the train questions worded most like it.

DSPy's `KNNFewShot` puts a function into the program it compiles, which no file can hold, and asks the language model
again for every demo. This one is a module with a state, around DSPy's own retriever.
"""

from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np


class NearestDemos(dspy.Module):
    """Answers with the demos nearest to the question."""

    def __init__(self, module: dspy.Module, demos: Sequence[dict[str, Any]] = (), k: int = 1):
        """Make the program.

        Args:
            module: What answers; it has one predictor.
            demos: What to choose from: fields of the signature, as demos have them.
            k: How many.
        """
        super().__init__()
        self.module = module
        self.fill(demos, k)

    def fill(self, demos: Sequence[dict[str, Any]], k: int) -> None:
        """Choose from these demos from now on, so many at a time."""
        self._demos, self._k = [_plain(demo) for demo in demos], k
        questions = [dspy.Example(question=demo["question"], at=i) for i, demo in enumerate(self._demos)]
        asked = [question.with_inputs("question") for question in questions]
        self._nearest = dspy.KNN(k, asked, dspy.Embedder(_vectors, caching=False)) if asked else None

    def pool(self) -> dict[str, Any]:
        """What `fill` takes, as plain data."""
        return {"demos": self._demos, "k": self._k}

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Answer a question; the nearest demo stands last, next to it."""
        nearest = self._nearest(question=inputs["question"]) if self._nearest else []
        module = self.module.deepcopy()
        (predictor,) = module.predictors()
        predictor.demos = [dspy.Example(**self._demos[example.at]) for example in reversed(nearest)]
        return module(**inputs)


def _plain(demo: dict[str, Any]) -> dict[str, Any]:
    return {name: value.model_dump() if isinstance(value, dspy.History) else value for name, value in demo.items()}


def _vectors(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector for each text, (texts, 16384), by the words in it, their beginnings and their ends."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**14)
    return hashed.transform(texts).toarray().astype(np.float32)
