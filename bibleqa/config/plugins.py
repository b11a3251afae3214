"""Code of the user's own, which a config names: `<module>.<function>`, or a module alone for a question family.

Only modules that the command line lists in `plugins` are ever imported.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from bibleqa import schema
from bibleqa.config.parts import parts_of, weighted_parts
from bibleqa.errors import ConfigError
from bibleqa.schema import BuiltConfig, Config, MetricConfig, OwnMetricConfig, OwnOptimizerConfig, WeightedConfig


def refuse_others(config: Config) -> None:
    """See that a config names code of listed modules alone; checks are looked at where they are built.

    Raises:
        ConfigError: It names other code.
    """
    for where, path in _functions(config):
        allow(where, path, config.plugins)
    for module in config.dataset.families if isinstance(config.dataset, BuiltConfig) else ():
        if module not in config.plugins:
            raise ConfigError(
                f"dataset.families={module}: not a module listed in plugins; {_hint(module, config.plugins)}"
            )


def _functions(config: Config) -> Iterator[tuple[str, str]]:
    for role, endpoint in schema.endpoints(config).items():
        if endpoint.dialect:
            yield f"{role}.dialect", endpoint.dialect
    for key, part in parts_of(config.optimizer).items():
        if isinstance(part, OwnOptimizerConfig):
            yield f"{key}.function", part.function
    metrics: dict[str, MetricConfig] = {"metric": config.metric}
    if isinstance(config.metric, WeightedConfig):
        metrics = {f"metric.parts.{name}": part for name, (_, part) in weighted_parts(config.metric).items()}
    for key, metric in metrics.items():
        if isinstance(metric, OwnMetricConfig):
            yield f"{key}.function", metric.function


def allow(where: str, path: str, plugins: Sequence[str]) -> None:
    """See that `<module>.<name>` is of a listed module.

    Raises:
        ConfigError: It is not; the message says what to add to the command line.
    """
    module = path.rpartition(".")[0]
    if module not in plugins:
        hint = _hint(module, plugins) if module else "give <module>.<function>"
        raise ConfigError(f"{where}={path}: not a function of a module listed in plugins; {hint}")


def _hint(module: str, plugins: Sequence[str]) -> str:
    return f"allow it with plugins=[{','.join([*plugins, module])}]"


def function(where: str, path: str, signature: str, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of a module that was allowed.

    Args:
        where: The key that names it.
        path: `<module>.<function>`.
        signature: What it is called with, by position, as a person would write it: `inputs, answer`.
        parameters: What it is called with besides, by name.

    Raises:
        ConfigError: It cannot be had, or takes other arguments.
    """
    found = named(path)
    if not callable(found):
        raise ConfigError(f"{where}={path}: {path.rpartition('.')[0]} has no function {path.rpartition('.')[2]}")
    try:
        inspect.signature(found).bind(*signature.split(", "), **parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}={path}: it is called with ({signature}, **parameters): {error}") from None
    return found


def named(path: str) -> Any:
    """What `<module>.<name>` of a module that was allowed is; None where the module has no such name.

    Raises:
        ConfigError: The module cannot be imported.
    """
    name, _, attribute = path.rpartition(".")
    return getattr(module(name), attribute, None)


def module(name: str) -> ModuleType:
    """A module that was allowed.

    Raises:
        ConfigError: It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise ConfigError(f"plugins={name}: cannot be imported: {error}") from None
