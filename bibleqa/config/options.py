"""The options of conf/'s groups, taken one by one: where a config names another option inside it."""

import re
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bibleqa import paths, schema
from bibleqa.config.explain import explain
from bibleqa.errors import ConfigError


def names(group: str) -> list[str]:
    """The options of a group."""
    return sorted(path.stem for path in (paths.conf() / group).glob("*.yaml"))


def option(group: str, name: str, given: dict[str, Any] | None = None, key: str | None = None) -> Any:
    """An option of a group as its YAML has it, with keys that are given in place of the YAML's.

    Args:
        group: The group.
        name: The option.
        given: Values by key, resolved.
        key: Where they stand, for what is said of wrong ones.

    Raises:
        ConfigError: A key or a value does not fit the schema.
    """
    return typed(schema.of(f"{group}/{name}"), _content(group, name) | _literal(given or {}), key or group)


def typed(kind: type, values: dict[str, Any], key: str) -> Any:
    """Values as the dataclass that they are meant for.

    Raises:
        ConfigError: They do not fit it.
    """
    try:
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except (OmegaConfBaseException, ValueError, ConfigError) as error:
        raise ConfigError(f"{key}.{explain(error) or error}") from None
    for problem in schema.check_range(made, f"{key}."):
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
