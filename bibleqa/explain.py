"""What Hydra and OmegaConf say of a wrong config, in one line that names key, value and what is allowed."""

import dataclasses
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from bibleqa import schema


def explain(error: BaseException) -> str | None:
    """One line for an error of Hydra or OmegaConf, or None when it is not one of theirs."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: no such option; there are {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value ({error.message.splitlines()[0]})"
    if isinstance(error, AssertionError) and "Unexpected type for root" in str(error):
        # How Hydra takes `judge.model=x` where there is no judge.
        return f"a key of {', '.join(schema.HELPERS)} is given, but no such model is chosen; {choose_endpoint('judge')}"
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
        return unknown_key(key or "", error.object_type)
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{key}: {reason}" if key else reason


def choose_endpoint(role: str) -> str:
    """How a further model is chosen."""
    return f"choose one with endpoint@{role}=<option>, for instance endpoint@{role}=lm_studio"


def unknown_key(key: str, schema_type: Any) -> str:
    """That a schema has no such key, and which it has."""
    known = ", ".join(field.name for field in dataclasses.fields(schema_type))
    return f"{key}: unknown key; known here: {known}"
