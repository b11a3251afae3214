"""`python run.py reproduce=<run folder>`: the saved config, turned back into Hydra's own overrides.

A saved config is data. Every value goes through the same schemas as one typed by hand, quoted so that it can be
nothing but a value.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bibleqa import schema
from bibleqa.errors import ConfigError

_PREFIX = "reproduce="


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
    chosen = {argument.partition("=")[0] for argument in further}
    saved = _saved(Path(references[0]))
    return [*_overrides(saved, chosen), "rerun=true", f"reproduced_from={_quoted(references[0])}", *further]


def _saved(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"reproduce={folder}: not a run folder, it has no config.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"reproduce={folder}: config.yaml cannot be read: {error}") from None
    if not isinstance(saved, dict):
        raise ConfigError(f"reproduce={folder}: config.yaml is not a run's config")
    return saved


def _overrides(saved: Mapping[str, Any], chosen: set[str]) -> Iterator[str]:
    for group, content in saved.items():
        if group in chosen or group in ("rerun", "reproduced_from"):
            continue  # another option of the group: the saved one's keys would not fit it
        if isinstance(content, dict) and group in schema.GROUPS:
            yield f"{group}={_quoted(str(content.get('name')))}"
            for key, value in content.items():
                # A table replaces the option's own only where that is empty: emptied first, it always does.
                yield f"{group}.{key}={_quoted(value)}"
        else:
            yield f"{group}={_quoted(content)}"


def _quoted(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
        return f"'{escaped}'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    return json.dumps(value)
