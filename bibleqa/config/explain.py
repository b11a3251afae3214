"""What Hydra and OmegaConf say of a wrong config, in one line that names key, value and what is allowed."""

import dataclasses
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from bibleqa import schema

_VALUE_ERRORS = ("Config group override", "Unable to configure ")  # the second of logging


def explain(error: BaseException) -> str | None:
    """One line for an error of Hydra or OmegaConf, or None when it is not one of theirs."""
    said = _said(error)
    return None if said is None else " ".join(said.splitlines())  # a key or value may have several


def _said(error: BaseException) -> str | None:
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        file = error.missing_cfg_file
        group, _, option = file.rpartition("/") if file.startswith("hydra/") else file.partition("/")
        return f"{group}={option}: no such option; there are {', '.join(error.options)}"
    if isinstance(error, MissingConfigException):
        return str(error).splitlines()[0]  # after it, every folder that was looked into
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value ({error.message.splitlines()[0]})"
    if isinstance(error, AssertionError) and str(error).startswith("Unexpected type"):
        # How Hydra takes `judge.model=x` where there is no judge.
        return f"a key of {', '.join(schema.HELPERS)} is given, but no such model is chosen; {choose_endpoint('judge')}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        error = error.__cause__
    if isinstance(error, OmegaConfBaseException):
        return _explain_omegaconf(error)
    if isinstance(error, HydraException) or str(error).startswith(_VALUE_ERRORS):
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
