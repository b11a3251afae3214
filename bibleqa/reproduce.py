"""`python run.py reproduce=<run folder>`: the saved config, turned back into Hydra's own overrides.

A saved config is data. Every value goes through the same schemas as one typed by hand, quoted so that it can be
nothing but a value.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bibleqa import paths, schema
from bibleqa.errors import ConfigError

_PREFIX = "reproduce="
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A key that Hydra's grammar takes for nothing but a key."""


def expand(argv: Sequence[str]) -> list[str]:
    """The command line with `reproduce=<folder>` replaced by overrides; what else stands there comes after them.

    Raises:
        ConfigError: It is not a run folder.
    """
    references = [argument.removeprefix(_PREFIX) for argument in argv if argument.startswith(_PREFIX)]
    if not references:
        return list(argv)
    if len(references) > 1:
        raise ConfigError("reproduce=: one run at a time")
    further = [argument for argument in argv if not argument.startswith(_PREFIX)]
    chosen = {argument.partition("=")[0].lstrip("+~") for argument in further}
    saved = _saved(Path(references[0]))
    return [
        *_overrides(saved, chosen),
        "rerun=true",
        f"reproduced_from={_quoted(str(Path(references[0]).absolute()))}",
        *further,
    ]


def _saved(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"reproduce={folder}: not a run folder, it has no config.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"reproduce={folder}: config.yaml cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(saved, dict):
        raise ConfigError(f"reproduce={folder}: config.yaml is not a run's config")
    known = {field.name for field in dataclasses.fields(schema.Config)}
    for key in (*saved.keys() - known, *_odd_keys(saved)):
        raise ConfigError(f"reproduce={folder}: config.yaml: {key!r} is no key of a run's config")
    return saved


def _odd_keys(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (key for key in node if not (isinstance(key, str) and _KEY.fullmatch(key)))
    if isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _odd_keys(child)


def _overrides(saved: Mapping[str, Any], chosen: set[str]) -> Iterator[str]:
    for group, content in saved.items():
        if {group, f"endpoint@{group}"} & chosen or group in ("rerun", "reproduced_from", "plugins"):
            # Another option of the group: the saved one's keys would not fit it. And what code is imported is for
            # the command line alone to say.
            continue
        if group in schema.HELPERS and content is None:
            continue
        if isinstance(content, dict) and group in (*schema.GROUPS, *schema.HELPERS):
            option = str(content.get("name"))
            yield f"{f'endpoint@{group}' if group in schema.HELPERS else group}={_quoted(option)}"
            for key, value in content.items():
                if isinstance(value, dict):
                    # Hydra merges tables: emptied first, the option's own is replaced.
                    yield from (f"~{group}.{key}.{entry}" for entry in _own_table(group, option, key))
                    yield f"+{group}.{key}={_quoted(value)}"
                else:
                    yield f"{group}.{key}={_quoted(value)}"
        else:
            yield f"{group}={_quoted(content)}"


def _own_table(group: str, option: str, key: str) -> dict[str, Any]:
    """A table of an option as its YAML has it, with what that takes from other options of the group."""
    path = paths.conf() / group / f"{option}.yaml"
    if not _KEY.fullmatch(option) or not path.is_file():
        return {}  # Hydra says that there is no such option
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    table: dict[str, Any] = {}
    for base in content.get("defaults", []):
        if isinstance(base, str):
            table |= _own_table(group, base, key)
    own = content.get(key)
    return table | own if isinstance(own, dict) else table


def _quoted(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, str):
        # Backslashes stand for themselves, but before what they escape: to OmegaConf `${`, to Hydra a quote.
        literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + (m[2] and "\\'"), literal)
        return f"'{escaped}'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return _quoted(str(value))  # a date, for instance
