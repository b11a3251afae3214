"""From a command line to what is served."""

from collections.abc import Sequence

from bibleqa import feedback, promotion
from bibleqa.promotion import model_card
from bibleqa.results import past
from bibleqa.schema import TheologicalConfig
from bibleqa.serve import models
from bibleqa.serve.ports import Choice, Parts


def choose(model: str | None, overrides: Sequence[str] = ()) -> Choice:
    """What is to be served; nothing is loaded yet.

    Args:
        model: A program in models/ or of a run; None takes the promoted one, or else the unoptimized one.
        overrides: As for run.py.

    Raises:
        ConfigError: There is no such program, or the overrides make no config.
    """
    folder = models.find(model)
    settings = models.config_of(folder, overrides)
    terms = settings.metric.terms if isinstance(settings.metric, TheologicalConfig) else {}
    if folder is None:
        card = {
            "name": f"the unoptimized program, asking {settings.endpoint.model}",
            "optimized": False,
            "score": None,
            "remarks": ["nothing is promoted yet: bibleqa promote <run> serves the program of a run"],
        }
    elif folder.parent == promotion.folder():
        kept = promotion.card_of(folder)
        card = {"optimized": True, **kept, "remarks": list(model_card.remarks(kept))}
    else:
        run = past.find(str(folder))
        card = {"name": run.place, "optimized": True, "score": run.score}

    def load() -> Parts:
        from bibleqa.serve.answerer import Answerer  # DSPy: seconds, in which the server answers already

        answerer = Answerer(folder, overrides)
        answerer.probe()
        answerer.retriever.search("In the beginning", 1)  # its index is there with the first question
        return Parts(answerer, answerer.retriever)

    return Choice(
        card=card,
        at_once=settings.endpoint.at_once,
        terms={name: term.strongs for name, term in terms.items()},
        load=load,
        keep=feedback.keep,
    )
