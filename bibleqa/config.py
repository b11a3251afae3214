"""From Hydra's config to a checked `Config`: wrong values stop here, before anything is spent."""

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import hydra
import yaml
from dotenv import load_dotenv
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from bibleqa import paths, schema
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
    WeightedConfig,
)

_NOT_AN_OPTION = re.compile(
    rf"^[+~]*(?P<group>{'|'.join(schema.GROUPS)}|endpoint@({'|'.join(schema.HELPERS)}))=\s*(\[|(null|true|false|[-+]?(inf|nan|[\d._]+(e[-+]?\d+)?))\s*$)",
    re.IGNORECASE,
)
_HELPER_AS_KEY = re.compile(rf"^[+~]*(?P<role>{'|'.join(schema.HELPERS)})=")
_SECRET = re.compile(r"^[-+~]*(?P<key>[\w.@/-]*(?:key|token|secret|password))=", re.IGNORECASE)


_VARIABLE = re.compile(r"null|\$\{.*\}|[A-Za-z_]\w*")
_PASSWORD = re.compile(r"://[^/\s]*@")
_NO_PASSWORDS = "an address with a name or password in it would stand in every file of the run; leave them out"


def prepare(argv: Sequence[str] = ()) -> None:
    """Ready the process for composing: environment files, schemas, resolvers; refuse secrets in overrides.

    Raises:
        ConfigError: An override looks like a secret.
    """
    for folder in dict.fromkeys((paths.project(), paths.conf().parent)):
        for name in (".env", ".env.dspy"):  # the second is what users of the predecessor have
            try:
                load_dotenv(folder / name)
            except UnicodeDecodeError:
                raise ConfigError(
                    f"{folder / name}: not UTF-8; save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"
                ) from None
    schema.register()
    OmegaConf.register_new_resolver("project", lambda: str(paths.project()), replace=True)
    for argument in argv:
        if match := _SECRET.match(argument):
            raise ConfigError(
                f"{match['key']}: secrets are never given on the command line, where logs and histories keep them. "
                "Put the key into .env and name its variable: endpoint.api_key_env=MY_KEY"
            )
        key, _, value = argument.partition("=")
        if key.endswith("api_key_env") and not _VARIABLE.fullmatch(value.strip("'\"")):
            raise ConfigError(f"{key}: the name of an environment variable is wanted, never the key itself")
        if _PASSWORD.search(value):
            raise ConfigError(f"{key}: {_NO_PASSWORDS}")
        if match := _HELPER_AS_KEY.match(argument):
            raise ConfigError(
                f"{argument}: a further model is an option of the group endpoint; {_choose(match['role'])}"
            )
        if match := _NOT_AN_OPTION.match(argument):
            raise ConfigError(
                f"{argument}: {match['group']} takes the name of one option (several runs: -m and no brackets)"
            )


def compose(overrides: Sequence[str] = ()) -> Config:
    """The checked config that `python run.py <overrides>` would run.

    Raises:
        ConfigError: The overrides do not make a config.
    """
    prepare(overrides)
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(paths.conf()), version_base="1.3"):
        try:
            return checked(hydra.compose("config", overrides=list(overrides)))
        except Exception as error:
            if message := explain(error):
                raise ConfigError(message) from None
            raise


def checked(composed: DictConfig) -> Config:
    """The composed config as dataclasses, every value resolved and within its range.

    Raises:
        ConfigError: Some value is not; the message names key, value and what is allowed.
    """
    if unknown := next(_unknown_keys(composed, Config, ""), None):
        raise ConfigError(unknown)
    try:
        config = cast(Config, OmegaConf.to_object(composed))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from None
    for problem in schema.check_range(config):
        raise ConfigError(problem)
    _refuse_secrets(config)
    _settle_metric(config)
    _settle_optimizer(config)
    _resolve(config)
    return config


def _refuse_secrets(config: Config) -> None:
    """Refuse what came in by another way than the command line: an environment variable, a YAML."""
    endpoints = schema.endpoints(config)
    for name, endpoint in endpoints.items():
        if endpoint.api_key_env is not None and not _VARIABLE.fullmatch(endpoint.api_key_env):
            raise ConfigError(
                f"{name}.api_key_env: the name of an environment variable is wanted, never the key itself"
            )
    addresses = {f"{name}.base_url": endpoint.base_url for name, endpoint in endpoints.items()}
    for key, address in (*addresses.items(), ("tracking.uri", config.tracking.uri)):
        if address and _PASSWORD.search(address):
            raise ConfigError(f"{key}: {_NO_PASSWORDS}")


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
            setattr(config, role, _option("endpoint", default, {}))
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
    known = [name for name in _options("metric") if name != "weighted"]
    for name, given in metric.parts.items():
        key = f"metric.parts.{name}"
        if name not in known:
            raise ConfigError(f"{key}: not a metric to be weighted; there are {', '.join(known)}")
        keys = given if isinstance(given, dict) else {"weight": given}
        weight = keys.get("weight")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ConfigError(f"{key}={weight}: the weight must be a number above 0")
        part = _option("metric", name, _without(keys, "weight"), key)
        parts[name] = (float(weight), part)
    return parts


def _settle_optimizer(config: Config) -> None:
    """Write out the optimizers that an optimizer is made of, check budgets, and choose the teacher nobody chose."""
    if isinstance(config.optimizer, BetterTogetherConfig):
        config.optimizer.steps = {name: dataclasses.asdict(step) for name, step in steps(config.optimizer).items()}
    elif isinstance(config.optimizer, EnsembleConfig):
        config.optimizer.of = dataclasses.asdict(members(config.optimizer))
    parts = parts_of(config.optimizer)
    graded = config.metric.name in _GRADED
    for key, part in parts.items():
        _check_budget(key, part)
        if graded and getattr(part, "metric_threshold", 1) is None and not _needs_no_threshold(part):
            raise ConfigError(
                f"{key}.metric_threshold: is needed with metric={config.metric.name}, whose scores lie between 0 and "
                f"1: from which score on is an answer right? For instance {key}.metric_threshold=0.8"
            )
    taught = [part for part in parts.values() if part.name in _TAUGHT or _asks_teacher(part)]
    if config.teacher is not None and not taught:
        raise ConfigError(
            f"teacher: configured, but optimizer={config.optimizer.name} asks none; leave it out (~endpoint@teacher)"
        )
    if config.teacher is None and any(map(_asks_teacher, taught)):
        config.teacher = _option("endpoint", "embedded_large", {})


_GRADED = ("token_f1", "judge", "weighted")
"""Metrics with scores between 0 and 1."""
_TAUGHT = ("bootstrap", "bootstrap_random_search", "copro", "mipro", "gepa", "simba", "infer_rules")
"""Optimizers that a teacher may help: it answers for demos, or writes instructions and rules."""


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


ARROW = " -> "


def steps(optimizer: BetterTogetherConfig) -> dict[str, OptimizerConfig]:
    """The optimizers of a strategy, by the names that it has for them. A word that is no step is an optimizer.

    Raises:
        ConfigError: The strategy cannot be read, or a step is none.
    """
    words = optimizer.strategy.split(ARROW)
    single = [name for name in _options("optimizer") if name not in _NO_STEP]
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
        found[word] = _option("optimizer", given.get("name", word), given, key)
    return found


def members(optimizer: EnsembleConfig) -> OptimizerConfig:
    """The optimizer whose candidates make an ensemble.

    Raises:
        ConfigError: It is none, or keeps no candidates.
    """
    name = optimizer.of.get("name")
    if name not in _SEARCHES:
        raise ConfigError(f"optimizer.of.name={name}: one that keeps candidates is wanted: {', '.join(_SEARCHES)}")
    return cast(OptimizerConfig, _option("optimizer", name, optimizer.of, "optimizer.of"))


_NO_STEP = ("none", "better_together", "ensemble", "knn")
_SEARCHES = ("bootstrap_random_search", "copro", "mipro", "gepa", "simba", "infer_rules")


def option(group: str, name: str) -> Any:
    """An option of a group as its YAML has it.

    Raises:
        ConfigError: The YAML does not fit its schema.
    """
    return _option(group, name, {})


def _option(group: str, name: str, given: dict[str, Any], key: str | None = None) -> Any:
    """An option of a group, with keys that are given in place of the YAML's."""
    node = schema.of(f"{group}/{name}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(node), _content(group, name) | _literal(given))
        made = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key or group}.{explain(error)}") from None
    for problem in schema.check_range(made, f"{key or group}."):
        raise ConfigError(problem)
    return made


def _content(group: str, name: str) -> dict[str, Any]:
    """The YAML of an option, with what it takes from other options of the group."""
    content = yaml.safe_load((paths.conf() / group / f"{name}.yaml").read_text(encoding="utf-8"))
    bases = [base for base in content.pop("defaults", []) if isinstance(base, str) and base[0] not in "/_"]
    for base in reversed(bases):
        content = _content(group, base) | content
    return cast(dict[str, Any], content)


def _literal(value: Any) -> Any:
    """A value that was resolved already: `${` in it is text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (paths.conf() / group).glob("*.yaml"))


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def to_yaml(config: Config) -> str:
    """The resolved config as YAML: what a run folder keeps and what `reproduce` reads."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)


def explain(error: BaseException) -> str | None:
    """One line for an error of Hydra or OmegaConf, or None when it is not one of theirs."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: no such option; there are {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value ({error.message.splitlines()[0]})"
    if isinstance(error, AssertionError) and "Unexpected type for root" in str(error):
        # How Hydra takes `judge.model=x` where there is no judge.
        return f"a key of {', '.join(schema.HELPERS)} is given, but no such model is chosen; {_choose('judge')}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        error = error.__cause__
    if isinstance(error, OmegaConfBaseException):
        return _explain_omegaconf(error)
    if isinstance(error, HydraException) or str(error).startswith("Config group override"):  # a ValueError
        return " ".join(line.strip() for line in str(error).splitlines() if "HYDRA_FULL_ERROR" not in line)
    return None


def _explain_omegaconf(error: OmegaConfBaseException) -> str:
    key = error.full_key
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: is needed and has no default; give {key}=<value>"
    if isinstance(error, (ConfigKeyError, ConfigAttributeError)) and dataclasses.is_dataclass(error.object_type):
        return _unknown(key or "", error.object_type)
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{key}: {reason}" if key else reason


def _choose(role: str) -> str:
    return f"choose one with endpoint@{role}=<option>, for instance endpoint@{role}=lm_studio"


def _unknown(key: str, schema_type: Any) -> str:
    known = ", ".join(field.name for field in dataclasses.fields(schema_type))
    return f"{key}: unknown key; known here: {known}"


def _unknown_keys(node: Any, expected: type, prefix: str) -> Iterator[str]:
    """Complaints of keys that `+key=value` put where no schema has them: `to_object` drops them silently."""
    expected = OmegaConf.get_type(node) or expected
    if not dataclasses.is_dataclass(expected):
        for key in node:  # a table; what is in it may have a schema
            if OmegaConf.is_dict(child := node._get_node(key)):
                yield from _unknown_keys(child, dict, f"{prefix}{key}.")
        return
    known = {field.name for field in dataclasses.fields(expected)}
    for key in node:
        if key not in known:
            yield _unknown(f"{prefix}{key}", expected)
        elif OmegaConf.is_dict(child := node._get_node(key)) and not (child._is_none() or child._is_missing()):
            yield from _unknown_keys(child, dict, f"{prefix}{key}.")


def _resolve(config: Config) -> None:
    """Fill in what depends on machine and folder, so that the saved config says what really ran."""
    for endpoint in schema.endpoints(config).values():
        if endpoint.threads is None:
            endpoint.threads = _physical_cores() if endpoint.kind == "embedded" else 8
    # A saved config says the same from everywhere.
    for node, names in (
        (config.dataset, ("train", "val", "test", "folder")),
        (config.corpus, ("sword_path", "stepbible_path")),
    ):
        for name in names:
            if path := getattr(node, name, None):
                setattr(node, name, str(Path(path).absolute()))


def _physical_cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or os.cpu_count() or 1
