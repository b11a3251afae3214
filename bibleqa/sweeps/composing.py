"""The configs of a sweep's jobs. Hydra takes a tenth of a second for one, so what it once composed is kept.

What it composes follows from the overrides, the files of conf/, the schemas, and the environment variables that
either names: together they are the key under which a config is kept.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bibleqa import config, paths, runs, schema
from bibleqa.config.explain import explain
from bibleqa.errors import ConfigError
from bibleqa.schema import Config

_MADE_BY = (
    "schema",
    "config/__init__",
    "config/guard",
    "config/parts",
    "config/options",
    "config/plugins",
    "sweeps/composing",
)
_VARIABLE = re.compile(r"\$\{oc\.env:(\w+)")

_OF_THE_COMMAND = ("plan=", "rerun=", "retry_failed=")

Compose = Callable[[Sequence[str]], DictConfig]
"""Hydra's composing: from overrides to the task config."""


class Composer:
    """Gives the checked config of a job by its overrides."""

    def __init__(self, compose: Compose, folders: Sequence[Path] = ()):
        """Make a composer.

        Args:
            compose: Hydra's own.
            folders: Where Hydra finds YAML files beside conf/.
        """
        self._compose = compose
        self._surroundings = _surroundings([paths.conf(), *folders])

    def __call__(self, overrides: Sequence[str]) -> Config:
        """The config of a job, all of its values resolved, but for what a command line says of the sweep alone.

        Raises:
            ConfigError: The overrides do not make one; the message begins with them.
        """
        overrides = [override for override in overrides if not override.lstrip("+").startswith(_OF_THE_COMMAND)]
        asked_for = [os.environ.get(name) for name in _VARIABLE.findall(" ".join(overrides))]
        key = hashlib.sha256(json.dumps([self._surroundings, list(overrides), asked_for]).encode()).hexdigest()
        kept = paths.project() / "outputs" / ".composed" / key
        try:
            return _read(kept.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            pass  # never composed, or the file was damaged and is written anew
        try:
            made = config.checked(self._compose(overrides))
        except Exception as error:
            if message := explain(error) or (isinstance(error, ConfigError) and str(error)):
                raise ConfigError(f"{' '.join(overrides)}: {message}") from None
            raise
        kept.parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(kept, _written(made))
        return made


def _written(made: Config) -> str:
    groups = {group: type(getattr(made, group)).__name__ for group in schema.GROUPS}
    return json.dumps({"groups": groups, "config": dataclasses.asdict(made)})


def _read(text: str) -> Config:
    kept = json.loads(text)
    values: dict[str, Any] = kept["config"]
    for group, name in kept["groups"].items():
        values[group] = getattr(schema, name)(**values[group])
    for role in schema.HELPERS:
        if values[role]:
            values[role] = schema.EndpointConfig(**values[role])
    if terms := getattr(values["metric"], "terms", None):
        values["metric"].terms = {name: schema.TermConfig(**term) for name, term in terms.items()}
    values["corpus"] = schema.CorpusConfig(**values["corpus"])
    values["limits"] = schema.LimitsConfig(**values["limits"])
    values["reproduce"] = schema.ReproduceConfig(**values["reproduce"])
    return Config(**values)


def _surroundings(folders: Sequence[Path]) -> str:
    """sha256 of all that a composed config follows from, beside the overrides."""
    package = Path(__file__).parent.parent
    conf = "".join(file.read_text(encoding="utf-8") for folder in folders for file in sorted(folder.rglob("*.yaml")))
    what = [
        conf,
        *((package / f"{name}.py").read_text(encoding="utf-8") for name in _MADE_BY),
        *(importlib.metadata.version(name) for name in ("hydra-core", "omegaconf")),
        *(f"{name}={os.environ.get(name)}" for name in sorted(set(_VARIABLE.findall(conf)))),
        *(str(path) for path in (paths.project(), *folders, Path.cwd())),
        str(os.cpu_count()),
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
