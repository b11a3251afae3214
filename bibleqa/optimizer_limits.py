"""What an optimizer needs and what it may cost, known before anything is spent."""

import importlib.util
import math
from dataclasses import dataclass

from bibleqa.config import plugins
from bibleqa.config.parts import parts_of, words_of
from bibleqa.errors import ConfigError
from bibleqa.schema import (
    BetterTogetherConfig,
    BootstrapConfig,
    BootstrapRandomSearchConfig,
    Config,
    CoproConfig,
    FinetuneConfig,
    GepaConfig,
    InferRulesConfig,
    MiproConfig,
    OptimizerConfig,
    OwnOptimizerConfig,
    SimbaConfig,
)

_NEEDED = ("torch", "transformers", "peft", "gguf")
_MIPRO = {"light": 6, "medium": 12, "heavy": 18}
"""DSPy's number of candidates for each budget; GEPA's budgets have the same."""
_MIPRO_VAL = {"light": 100, "medium": 300, "heavy": 1000}


def check(config: Config, train: int, val: int) -> None:
    """See that an optimizer can do its work with these models and so many questions.

    Raises:
        ConfigError: It cannot; the message says what would do.
    """
    for key, part in parts_of(config.optimizer).items():
        if isinstance(part, FinetuneConfig):
            _check_tunable(config, key, part)
        if isinstance(part, OwnOptimizerConfig):
            plugins.function(f"{key}.function", part.function, "student, task", part.parameters)
        if isinstance(part, SimbaConfig) and part.bsize > train:
            raise ConfigError(f"{key}.bsize={part.bsize}: there are {train} train questions; that many at the most")
        if isinstance(part, BootstrapConfig | MiproConfig) and part.max_bootstrapped_demos > train:
            raise ConfigError(
                f"{key}.max_bootstrapped_demos={part.max_bootstrapped_demos}: there are {train} train questions"
            )
        if isinstance(part, MiproConfig) and part.max_labeled_demos and not part.max_bootstrapped_demos:
            raise ConfigError(
                f"{key}.max_bootstrapped_demos=0: at least 1 is needed, or {key}.max_labeled_demos=0 besides, for "
                "instructions alone"
            )
        if isinstance(part, GepaConfig) and part.max_metric_calls and part.max_metric_calls <= val:
            raise ConfigError(
                f"{key}.max_metric_calls={part.max_metric_calls}: measuring the program on val alone takes {val}"
            )


def _check_tunable(config: Config, key: str, part: FinetuneConfig) -> None:
    if config.endpoint.kind != "embedded":
        strategies = '"bootstrap -> mipro", "mipro -> gepa"' if "steps" in key else "optimizer=mipro or gepa"
        raise ConfigError(
            f"endpoint={config.endpoint.name}: the weights of a model behind a server cannot be tuned from here; "
            f"with it work prompts alone: {strategies}. Weights: endpoint=embedded or embedded_tiny"
        )
    if config.endpoint.adapter:
        raise ConfigError("endpoint.adapter: a tuned model is not tuned again; leave the adapter out")
    if config.program.name != "predict" and part.source != "teacher":
        raise ConfigError(
            f"{key}.source={part.source}: the reference answers have no reasoning to learn from, as "
            f"program={config.program.name} wants it; {key}.source=teacher has"
        )
    if config.reproduce.mode == "rerun":  # else the weights of the recorded run are taken
        _check_installed()


def _check_installed() -> None:
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f'tuning weights needs {", ".join(missing)}: pip install -c constraints.txt -e ".[weights]"; '
            "or choose an optimizer that tunes prompts alone"
        )


def tunes_weights(optimizer: OptimizerConfig) -> bool:
    """Whether an optimizer has a weight step."""
    return any(isinstance(part, FinetuneConfig) for part in parts_of(optimizer).values())


@dataclass(frozen=True)
class Calls:
    """The most LM calls that a run makes, further attempts of assertions not counted."""

    baseline: int
    optimizer: int
    optimized: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.baseline + self.optimizer + self.optimized


def calls(config: Config, train: int, val: int, test: int) -> Calls:
    """What a run may ask of a model with so many questions, nothing being known from other runs."""
    if config.reproduce.mode == "replay":
        return Calls(0, 0, 0)
    if config.reproduce.mode == "evaluate":
        return Calls(0, 0, test)
    inside = most_calls(config.optimizer, train, val)
    return Calls(test, inside, 0 if config.optimizer.name == "none" else test)


def most_calls(optimizer: OptimizerConfig, train: int, val: int) -> int:
    """About how many LM calls an optimizer makes at the most, further attempts of assertions not counted.

    In the end its best candidates and the baseline are measured on val; what was measured there before is free.
    """
    if optimizer.name == "none":
        return 0
    choice = _compared(optimizer) * val
    parts = parts_of(optimizer)
    if isinstance(optimizer, BetterTogetherConfig):
        words = words_of(optimizer)
        # The program that is given is measured, and what each step makes of it.
        return choice + sum(_inside(parts[f"optimizer.steps.{word}"], train, val) + val for word in words) + val
    return choice + sum(_inside(part, train, val) for part in parts.values())


def _compared(optimizer: OptimizerConfig) -> int:
    """How many programs are measured on val in the end that were not measured there before."""
    parts = parts_of(optimizer).values()
    return 4 if any(isinstance(part, CoproConfig | SimbaConfig) for part in parts) else 2


def _inside(part: OptimizerConfig, train: int, val: int) -> int:
    match part:
        case BootstrapRandomSearchConfig():
            sets = part.num_candidate_programs + 1
            return sets * train * part.max_rounds + (sets + 2) * val
        case InferRulesConfig():
            return part.max_examples * part.max_rounds + part.num_candidates * (val + 1)
        case BootstrapConfig():
            return train * part.max_rounds if part.max_bootstrapped_demos else 0
        case CoproConfig():
            return part.breadth * part.depth * (train + 1)
        case MiproConfig():
            n = _MIPRO[part.budget] if part.budget else part.num_candidates or 0
            trials = part.num_trials or _trials(n)
            measured = min(val, _MIPRO_VAL[part.budget] if part.budget else val)
            return n * train + 12 + n + (trials + 1) * measured
        case GepaConfig():
            scored = part.max_metric_calls or _gepa_budget(_MIPRO[part.budget or "light"], val)
            # A rewriting for each minibatch, and the last program is measured whatever it takes.
            return scored + scored // part.reflection_minibatch_size + val
        case SimbaConfig():
            step = part.bsize * (2 * part.num_candidates + 1) + part.num_candidates + 1
            return part.max_steps * step + (part.max_steps + 1) * train
        case OwnOptimizerConfig():
            return part.calls or 0
        case FinetuneConfig():
            return (part.max_traces or part.max_examples or train) if part.source != "labels" else 0
    return 0


def _trials(n: int) -> int:
    """DSPy's number of trials for so many candidates, of one predictor with instructions and demos."""
    return max(int(4 * math.log2(n)), n * 3 // 2)


def _gepa_budget(n: int, val: int) -> int:
    """DSPy's `GEPA.auto_budget` for one predictor."""
    trials = _trials(n)
    return val + 5 * n + 35 * trials + ((trials + 1) // 5 + 1) * val
