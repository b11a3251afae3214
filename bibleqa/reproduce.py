"""`python run.py reproduce=<run>`: the saved config, turned back into Hydra's own overrides.

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

from bibleqa import paths, runs, schema, tracking
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder

_PREFIX = "reproduce="
_MODE = "reproduce.mode="
_NEEDED = {"rerun": (), "replay": ("predictions.jsonl", "answers.jsonl"), "evaluate": ("program.json",)}
"""What a run must have left, beside its config, for each way to reproduce it."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A key that Hydra's grammar takes for nothing but a key."""


def expand(argv: Sequence[str]) -> list[str]:
    """The command line with `reproduce=<run>` replaced by overrides; what else stands there comes after them.

    Raises:
        ConfigError: It is not a run, or has not left what the mode needs.
    """
    references = [argument.removeprefix(_PREFIX) for argument in argv if argument.startswith(_PREFIX)]
    modes = [argument.removeprefix(_MODE) for argument in argv if argument.startswith(_MODE)]
    if not references:
        if modes:
            raise ConfigError("reproduce.mode: of which run? reproduce=<run folder, MLflow run id or fingerprint>")
        return list(argv)
    if len(references) > 1:
        raise ConfigError("reproduce=: one run at a time")
    mode = modes[-1] if modes else "rerun"
    folder = _found(references[0])
    further = [argument for argument in argv if not argument.startswith((_PREFIX, _MODE))]
    chosen = {argument.partition("=")[0].lstrip("+~") for argument in further}
    saved = _saved(folder)
    if mode in _NEEDED:  # else its schema says which there are
        _check_left(folder, mode)
    return [
        *_overrides(saved, chosen),
        *(["rerun=true"] if mode == "rerun" else []),
        f"reproduce.run={quoted(str(folder.absolute()))}",
        f"reproduce.mode={quoted(mode)}",
        *further,
    ]


def _found(reference: str) -> Path:
    """The folder of the run that is meant."""
    if Path(reference).is_dir() and reference:
        return Path(reference)
    if re.fullmatch("[0-9a-f]{32}", reference):
        return tracking.fetch(reference)
    if re.fullmatch("[0-9a-f]{8,64}", reference):
        return runs.by_fingerprint(reference).path
    raise ConfigError(
        f"reproduce={reference}: not a run folder; nor is it an MLflow run id or a fingerprint (8 digits or more)"
    )


def _check_left(folder: Path, mode: str) -> None:
    run = RunFolder(folder)
    try:
        summary = run.read_json("summary.json")
        status, schema_version, weights = summary["status"], summary["schema"], summary.get("weights")
    except FileNotFoundError:
        status, schema_version, weights = "unfinished", runs.SCHEMA, None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"reproduce={folder}: summary.json cannot be read ({error!r})") from None
    if schema_version > runs.SCHEMA:
        raise ConfigError(
            f"reproduce={folder}: made by a newer bibleqa (schema {schema_version}, this one reads {runs.SCHEMA}); "
            "update this one"
        )
    if mode == "rerun":
        return
    if status == "unfinished" or (mode == "replay" and summary.get("failure")):
        raise ConfigError(f"reproduce={folder}: that run did not finish; reproduce.mode=rerun makes it anew")
    for name in (*_NEEDED[mode], *(["adapter.gguf", "adapter.json"] if weights else [])):
        if not (folder / name).is_file():
            raise ConfigError(f"reproduce={folder}: {name} is missing, which reproduce.mode={mode} needs")


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
        if {group, f"endpoint@{group}"} & chosen or group in _OF_THE_COMMAND:
            # Another option of the group: the saved one's keys would not fit it.
            continue
        if group in schema.HELPERS and content is None:
            continue
        if isinstance(content, dict) and group in (*schema.GROUPS, *schema.HELPERS):
            option = str(content.get("name"))
            yield f"{f'endpoint@{group}' if group in schema.HELPERS else group}={quoted(option)}"
            for key, value in content.items():
                if isinstance(value, dict):
                    # Hydra merges tables: emptied first, the option's own is replaced.
                    yield from (f"~{group}.{key}.{entry}" for entry in _own_table(group, option, key))
                    yield f"+{group}.{key}={quoted(value)}"
                else:
                    yield f"{group}.{key}={quoted(value)}"
        else:
            yield f"{group}={quoted(content)}"


_OF_THE_COMMAND = ("rerun", "reproduce", "plan", "retry_failed", "fast", "plugins", "limits")
"""For the command line alone to say, above all what code is imported."""


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


def quoted(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, str):
        # Backslashes stand for themselves, but before what they escape: to OmegaConf `${`, to Hydra a quote.
        literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + (m[2] and "\\'"), literal)
        return f"'{escaped}'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(quoted(item) for item in value) + "]"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return quoted(str(value))  # a date, for instance
