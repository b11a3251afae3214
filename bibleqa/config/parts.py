"""Metrics and optimizers that are made of others, and the further models that they ask."""

import dataclasses
import math
import re
from typing import Any, cast

from bibleqa import schema
from bibleqa.config.options import names, option
from bibleqa.errors import ConfigError
from bibleqa.schema import (
    BetterTogetherConfig,
    Config,
    EnsembleConfig,
    FinetuneConfig,
    GepaConfig,
    MetricConfig,
    MiproConfig,
    OptimizerConfig,
    OwnMetricConfig,
    OwnOptimizerConfig,
    WeightedConfig,
)


def settle(config: Config) -> None:
    """Write out what a metric or an optimizer is made of, and choose the models that they ask and nobody chose.

    Raises:
        ConfigError: A part is unknown or wrong, or a model is chosen that nothing asks.
    """
    _settle_retriever(config)
    _settle_metric(config)
    _settle_optimizer(config)


def _settle_retriever(config: Config) -> None:
    """Choose the model that finds verses by meaning, where nobody chose it or an endpoint for it."""
    if config.retriever.embeds and config.retriever.model is None and config.embedder is None:
        config.retriever.model = LOCAL_EMBEDDER


LOCAL_EMBEDDER = "all-MiniLM-L6-v2"
"""What embeds verses where no endpoint is to."""


def _settle_metric(config: Config) -> None:
    """Write out the parts of a weighted metric, and choose the models that a metric asks and nobody chose."""
    if isinstance(config.metric, WeightedConfig):
        parts = weighted_parts(config.metric)
        config.metric.parts = {
            name: {"weight": weight, **_without(dataclasses.asdict(part), "name")}
            for name, (weight, part) in parts.items()
        }
        names = list(parts)
    else:
        names = [config.metric.name]
    for role, (metric, verb, default) in _ASKED_BY.items():
        if getattr(config, role) is None and metric in names:
            setattr(config, role, option("endpoint", default))
        elif role == "embedder" and config.retriever.embeds and config.retriever.model is None:
            continue  # of verses: in a run those that its program finds, and for asking, with any program
        elif getattr(config, role) is not None and metric not in names:
            raise ConfigError(
                f"{role}: configured, but metric={config.metric.name} {verb}; leave it out (~endpoint@{role})"
            )


_ASKED_BY = {
    "judge": ("judge", "asks no judge", "embedded_large"),
    "embedder": ("semantic", "compares no meanings", "embedded_tiny"),
}
"""For each model that a metric may ask: which metric, what is said of the others, the endpoint where none is chosen."""


def weighted_parts(metric: WeightedConfig) -> dict[str, tuple[float, MetricConfig]]:
    """The metrics that a weighted one is made of, each with its weight as it is written.

    Raises:
        ConfigError: There is none, one is unknown or weighted itself, or a weight is not above 0.
    """
    if not metric.parts:
        raise ConfigError("metric.parts={}: at least one metric is needed, for instance {contains: 1}")
    parts = {}
    known = [name for name in names("metric") if name != "weighted"]
    for name, given in metric.parts.items():
        key = f"metric.parts.{name}"
        if name not in known:
            raise ConfigError(f"{key}: not a metric to be weighted; there are {', '.join(known)}")
        keys = given if isinstance(given, dict) else {"weight": given}
        weight = keys.get("weight")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ConfigError(f"{key}={weight}: the weight must be a number above 0")
        part = option("metric", name, _without(keys, "weight"), key)
        parts[name] = (float(weight), part)
    return parts


def _settle_optimizer(config: Config) -> None:
    """Write out the optimizers that an optimizer is made of, check budgets, and choose the teacher nobody chose."""
    if isinstance(config.optimizer, BetterTogetherConfig):
        config.optimizer.steps = {name: dataclasses.asdict(step) for name, step in steps(config.optimizer).items()}
    elif isinstance(config.optimizer, EnsembleConfig):
        config.optimizer.of = dataclasses.asdict(members(config.optimizer))
    parts = parts_of(config.optimizer)
    graded = config.metric.name in _GRADED or isinstance(config.metric, OwnMetricConfig)
    for key, part in parts.items():
        _check_budget(key, part)
        if graded and getattr(part, "metric_threshold", 1) is None and not _needs_no_threshold(part):
            further = "" if key == "optimizer" else "+"  # a key that the YAML of the strategy does not have
            raise ConfigError(
                f"{key}.metric_threshold: is needed with metric={config.metric.name}, whose scores lie between 0 and "
                f"1: from which score on is an answer right? For instance {further}{key}.metric_threshold=0.8"
            )
    taught = [part for part in parts.values() if _may_be_taught(part)]
    if config.teacher is not None and not taught:
        raise ConfigError(
            f"teacher: configured, but optimizer={config.optimizer.name} asks none; leave it out (~endpoint@teacher)"
        )
    if config.teacher is None and any(map(_asks_teacher, taught)):
        config.teacher = option("endpoint", "embedded_large")


_GRADED = ("token_f1", "judge", "weighted")
"""Metrics with scores between 0 and 1."""
_TAUGHT = ("bootstrap", "bootstrap_random_search", "copro", "mipro", "gepa", "simba", "infer_rules")
"""Optimizers that a teacher may help: it answers for demos, or writes instructions and rules."""


def _may_be_taught(part: OptimizerConfig) -> bool:
    return part.name in _TAUGHT or isinstance(part, OwnOptimizerConfig) or _asks_teacher(part)


def _asks_teacher(part: OptimizerConfig) -> bool:
    return isinstance(part, FinetuneConfig) and part.source != "labels"


def _needs_no_threshold(part: OptimizerConfig) -> bool:
    if isinstance(part, FinetuneConfig):
        return part.source == "labels"
    return getattr(part, "max_bootstrapped_demos", 0) == 0


def _check_budget(key: str, part: OptimizerConfig) -> None:
    if isinstance(part, MiproConfig):
        own = (part.num_candidates, part.num_trials)
        if (part.budget is None) != all(own) or (part.budget and any(own)):
            raise ConfigError(
                f"{key}: either budget ({', '.join(schema.BUDGETS)}), or budget=null with num_candidates and num_trials"
            )
    if isinstance(part, GepaConfig) and bool(part.budget) == bool(part.max_metric_calls):
        raise ConfigError(
            f"{key}: either budget ({', '.join(schema.BUDGETS)}) with max_metric_calls=null, or max_metric_calls"
        )


def parts_of(optimizer: OptimizerConfig) -> dict[str, OptimizerConfig]:
    """An optimizer that is not made of others, or those it is made of, by their keys."""
    if isinstance(optimizer, BetterTogetherConfig):
        return {f"optimizer.steps.{name}": step for name, step in steps(optimizer).items()}
    if isinstance(optimizer, EnsembleConfig):
        return {"optimizer.of": members(optimizer)}
    return {"optimizer": optimizer}


def words_of(optimizer: BetterTogetherConfig) -> list[str]:
    """The steps of a strategy by name, in their order."""
    return optimizer.strategy.split(" -> ")


def steps(optimizer: BetterTogetherConfig) -> dict[str, OptimizerConfig]:
    """The optimizers of a strategy, by the names that it has for them. A word that is no step is an optimizer.

    Raises:
        ConfigError: The strategy cannot be read, or a step is none.
    """
    words = words_of(optimizer)
    single = [name for name in names("optimizer") if name not in _NO_STEP]
    known = ", ".join(sorted({*optimizer.steps, *single}))
    for word in words:
        if not re.fullmatch(r"\w+", word):
            raise ConfigError(f'optimizer.strategy={optimizer.strategy!r}: steps with " -> " between them, as "p -> w"')
        if word not in optimizer.steps and word not in single:
            raise ConfigError(f"optimizer.strategy={optimizer.strategy!r}: no step {word!r}; there are {known}")
    found = {}
    for word in words:
        key = f"optimizer.steps.{word}"
        given = optimizer.steps.get(word) or {}
        if not isinstance(given, dict) or given.get("name", word) not in single:
            raise ConfigError(f"{key}={given}: an optimizer's name and keys are wanted; there are {', '.join(single)}")
        found[word] = option("optimizer", given.get("name", word), given, key)
    if sum(isinstance(found[word], FinetuneConfig) for word in words) > 1:
        raise ConfigError(f"optimizer.strategy={optimizer.strategy!r}: weights are tuned once")
    return found


def members(optimizer: EnsembleConfig) -> OptimizerConfig:
    """The optimizer whose candidates make an ensemble.

    Raises:
        ConfigError: It is none, or keeps no candidates.
    """
    name = optimizer.of.get("name")
    if name not in _SEARCHES:
        raise ConfigError(f"optimizer.of.name={name}: one that keeps candidates is wanted: {', '.join(_SEARCHES)}")
    return cast(OptimizerConfig, option("optimizer", name, optimizer.of, "optimizer.of"))


_NO_STEP = ("none", "better_together", "ensemble", "knn")
_SEARCHES = ("bootstrap_random_search", "copro", "mipro", "gepa", "simba", "infer_rules")


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}
