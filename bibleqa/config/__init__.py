"""From Hydra's config to a checked `Config`: wrong values stop here, before anything is spent."""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import hydra
import yaml
from dotenv import load_dotenv
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bibleqa import paths, schema, secrets
from bibleqa.config import guard, parts, plugins
from bibleqa.config.explain import choose_endpoint, explain, unknown_key
from bibleqa.errors import ConfigError
from bibleqa.schema import BetterTogetherConfig, Config, FinetuneConfig

_NOT_AN_OPTION = re.compile(
    rf"^[+~]*(?P<group>{'|'.join(schema.GROUPS)}|endpoint@({'|'.join(schema.HELPERS)}))=\s*(\[|(null|true|false|[-+]?(inf|nan|[\d._]+(e[-+]?\d+)?))\s*$)",
    re.IGNORECASE,
)
_HELPER_AS_KEY = re.compile(rf"^[+~]*(?P<role>{'|'.join(schema.HELPERS)})=")
_SECRET = re.compile(r"^[-+~]*(?P<key>[\w.@/-]*(?:key|token|secret|password))=", re.IGNORECASE)

_PASSWORD = re.compile(r"://[^/\s]*@")
_A_NAME = "the name of an environment variable is wanted, in capital letters, and never the key itself"
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
    guard.install()
    schema.register()
    OmegaConf.register_new_resolver("project", lambda: str(paths.project()), replace=True)
    check_arguments(argv)


def check_arguments(argv: Sequence[str]) -> None:
    """Refuse overrides that hold a secret, or that Hydra would understand in an odd way.

    Raises:
        ConfigError: One does.
    """
    for argument in argv:
        if variable := secrets.in_text(argument):
            raise ConfigError(
                f"the secret of {variable} stands in an argument; the variable's name is all that is needed"
            )
        if match := _SECRET.match(argument):
            raise ConfigError(
                f"{match['key']}: secrets are never given on the command line, where logs and histories keep them. "
                "Put the key into .env and name its variable: endpoint.api_key_env=MY_KEY"
            )
        key, _, value = argument.partition("=")
        if key.endswith("api_key_env") and value != "null" and not secrets.is_name(value.strip("'\"")):
            raise ConfigError(f"{key}: {_A_NAME}")
        if _PASSWORD.search(value):
            raise ConfigError(f"{key}: {_NO_PASSWORDS}")
        if match := _HELPER_AS_KEY.match(argument):
            raise ConfigError(
                f"{argument}: a further model is an option of the group endpoint; {choose_endpoint(match['role'])}"
            )
        if match := _NOT_AN_OPTION.match(argument):
            raise ConfigError(
                f"{argument}: {match['group']} takes the name of one option (several runs: -m and no brackets)"
            )


def help_text() -> str:
    """What `--help` says: conf/hydra/help/bibleqa.yaml."""
    text = yaml.safe_load((paths.conf() / "hydra" / "help" / "bibleqa.yaml").read_text(encoding="utf-8"))
    return str(text["template"]).replace("${hydra.help.header}", text["header"])


def refuse_contradictions(argv: Sequence[str]) -> None:
    """See that a command line gives no key two values: Hydra would take the last one without a word.

    Raises:
        ConfigError: It does.
    """
    given: dict[str, str] = {}
    for argument in argv:
        key, equals, value = argument.lstrip("+").partition("=")
        if equals and not argument.startswith("-") and given.setdefault(key, value) != value:
            raise ConfigError(f"{key}: given twice, as {given[key]} and as {value}; for one run each: -m {key}=a,b")


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
    if config.fast:
        _cut(config)
    parts.settle(config)
    plugins.refuse_others(config)
    _resolve(config)
    return config


_HANDFUL = {"max_train": 16, "max_val": 4, "max_test": 4}
_LEARNED = 4
"""Questions that weights are tuned on in a fast run."""


def _cut(config: Config) -> None:
    """Leave a handful of questions, for the optimizer as well."""
    for name, most in _HANDFUL.items():
        setattr(config.dataset, name, min(getattr(config.dataset, name) or most, most))
    optimizer = config.optimizer
    if isinstance(optimizer, FinetuneConfig):
        optimizer.max_examples = min(optimizer.max_examples or _LEARNED, _LEARNED)
    elif isinstance(optimizer, BetterTogetherConfig):
        for word, step in parts.steps(optimizer).items():
            if isinstance(step, FinetuneConfig):
                given = optimizer.steps.get(word) or {}
                optimizer.steps[word] = {**given, "max_examples": min(step.max_examples or _LEARNED, _LEARNED)}


def _refuse_secrets(config: Config) -> None:
    """Refuse what came in by another way than the command line: an environment variable, a YAML."""
    endpoints = schema.endpoints(config)
    for name, endpoint in endpoints.items():
        if endpoint.api_key_env is not None and not secrets.is_name(endpoint.api_key_env):
            raise ConfigError(f"{name}.api_key_env: {_A_NAME}")
    secrets.name(endpoint.api_key_env for endpoint in endpoints.values())
    addresses = {f"{name}.base_url": endpoint.base_url for name, endpoint in endpoints.items()}
    for key, address in (*addresses.items(), ("tracking.uri", config.tracking.uri)):
        if address and _PASSWORD.search(address):
            raise ConfigError(f"{key}: {_NO_PASSWORDS}")
    for key, value in guard.leaves(dataclasses.asdict(config)):
        text = str(value)
        if text.isprintable() is False and ("\0" in text or text != text.encode(errors="ignore").decode()):
            raise ConfigError(f"{key}={text!r}: no file and no server takes such characters")
    if variable := secrets.in_text(json.dumps(dataclasses.asdict(config), ensure_ascii=False)):
        raise ConfigError(f"the secret of {variable} stands in the config, and would in every file of the run")


def to_yaml(config: Config) -> str:
    """The resolved config as YAML: what a run folder keeps and what `reproduce` reads."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)


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
            yield unknown_key(f"{prefix}{key}", expected)
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
