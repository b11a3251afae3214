"""What a config file may say to Hydra itself. Hydra would run it before this project sees anything of the config.

A recipe, an option of a group or a folder of either (`--config-dir`) comes from anybody. Hydra makes objects of what
it finds under `hydra` (callbacks, launcher, sweeper, logging), imports packages of the search path and writes where it
is told. Every config passes here as soon as it is composed, unresolved, and before any of that. What the user types
himself counts as his own word.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from bibleqa import paths, secrets
from bibleqa.errors import ConfigError

_OPTIONS = {
    "experimental_rerun": "it loads a pickle, which can run anything; reproduce=<run folder> makes a run again",
    "config_path": "a saved config is no conf/; reproduce=<run folder> makes a run again, --config-dir adds recipes",
    "config_name": "conf/config.yaml is the one; reproduce=<run folder> makes a run again, experiment=… takes a recipe",
}
_PLACES: dict[str, type] = {"hydra.launcher._target_": Launcher, "hydra.sweeper._target_": Sweeper}
_HANDLERS = ("logging.StreamHandler", "logging.FileHandler")
_LOG = re.compile(r"\$\{hydra\.runtime\.output_dir\}/(\$\{hydra\.job\.name\}|\w+)\.log")
_NAME = re.compile(r"\w[\w.-]*")
_RESOLVERS = ("project", "now", "hydra", "oc.env")
_KNOWN = f"there are other keys, and {', '.join(_RESOLVERS)}"
_VARIABLES = ("LM_STUDIO_API_URL", "LM_STUDIO_CHAT_MODEL", "MLFLOW_TRACKING_URI")
"""Environment variables that conf/ asks for."""
_NEVER = ("hydra.callbacks", "hydra.searchpath", "hydra.job.env_copy", "hydra.job.env_set")
_TABLES = tuple(
    f"hydra.{key}" for key in "run sweep job job_logging hydra_logging launcher sweeper sweeper.params".split()
)
_TYPED = (
    "plugins",
    *(f"hydra.{key}" for key in ("run.dir", "sweep.dir", "sweep.subdir", "output_subdir")),
    # Commands for a cluster's nodes, and where code and keys are sent.
    *(f"hydra.launcher.{key}" for key in ("setup", "python", "srun_args", "additional_parameters", "address", "env")),
)
"""For the command line alone to say, where it is to be other than as it comes."""
_INTERPOLATION = re.compile(r"(?P<escape>\\*)\$\{\s*(?P<what>[\w./@\[\]-]*)\s*(?P<end>.?)(?P<rest>[^$}]*)", re.DOTALL)


def install() -> None:
    """Have every config that Hydra composes in this process checked."""
    compose = ConfigLoaderImpl.load_configuration
    if hasattr(compose, "__wrapped__"):
        return

    @functools.wraps(compose)
    def checked(self: Any, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any) -> DictConfig:
        typed = _typed(overrides)
        with composing():
            composed = compose(self, config_name, overrides, *args, **kwargs)
        check(composed, typed, overrides)
        return composed

    ConfigLoaderImpl.load_configuration = checked  # type: ignore[method-assign]


@contextmanager
def composing() -> Iterator[None]:
    """Have what Hydra and OmegaConf let fall through of a wrong config said as what it is.

    Raises:
        ConfigError: In place of it.
    """
    try:
        yield
    except KeyError as error:  # Hydra looks the variables of hydra.job.env_copy up
        raise ConfigError(f"hydra.job.env_copy: {error.args[0]}: is not for configs to ask for") from None
    except (ValueError, TypeError) as error:
        if not str(error).startswith(("invalid literal for int()", "Index ")):
            raise
        raise ConfigError(f"a list has no keys ({error}); give it whole: key=[a,b]") from None


def refuse_options(argv: list[str]) -> None:
    """See that a command line has no option of Hydra's that would load something else than conf/.

    Raises:
        ConfigError: It has, or Hydra knows no such option.
    """
    parser = get_args_parser()

    def refuse(message: str) -> Any:
        raise ConfigError(f"{message}; python run.py --help says what there is")

    parser.error = refuse  # type: ignore[method-assign]
    given = vars(parser.parse_args(argv))
    for option, instead in _OPTIONS.items():
        if given[option] is not None:
            raise ConfigError(f"--{option.replace('_', '-')}: {instead}")


def _typed(overrides: list[str]) -> set[str]:
    """The keys that overrides give.

    Raises:
        ConfigError: One is not for anybody to give.
    """
    typed = {override.partition("=")[0].strip("+~ \t\r\n") for override in overrides}
    for key in _NEVER:
        if any(_within(one, key) for one in typed):
            raise ConfigError(f"{key}: is not used here{_INSTEAD.get(key, '')}")
    return typed


_INSTEAD = {
    "hydra.searchpath": "; --config-dir <folder> adds recipes of your own",
    "hydra.job.env_set": "; set variables in the environment, or in .env",
    "hydra.job.env_copy": "; set variables in the environment, or in .env",
}


def check(composed: DictConfig, typed: set[str], overrides: Iterable[str] = ()) -> None:
    """See that a composed config has Hydra run nothing but its own and this project's parts.

    Args:
        composed: With the part `hydra`, unresolved.
        typed: The keys that were given on the command line.
        overrides: The command line.

    Raises:
        ConfigError: It has not.
    """
    config: Any = OmegaConf.to_container(composed, resolve=False)
    for key in _NEVER:
        if at(config, key):
            raise ConfigError(f"{key}: no config file may say that; it comes from a recipe or an option")
    for key in _TABLES:
        if not isinstance(at(config, key) or {}, dict):  # an interpolation: of what, nobody would have seen here
            raise ConfigError(f"{key}={at(config, key)}: a table is wanted, written out")
    own = _own(paths.conf())
    for key in _TYPED:
        value = at(config, key)
        if value not in (None, "", [], {}, at(own, key)) and not any(_within(key, one) for one in typed):
            raise ConfigError(f"{key}={value}: is for the command line alone to say, not for a config file")
    for key in at(config, "hydra.sweeper.params") or {}:
        if re.match(r"[\s+~]*(hydra|plugins)\b", str(key)):
            raise ConfigError(f"hydra.sweeper.params.{key}: a recipe sweeps over keys of runs, not over this one")
    _check_targets(config)
    _check_logging(config)
    _check_interpolations(config, " ".join(overrides))


@functools.cache
def _own(conf: Path) -> Any:
    """The main config of this project, as its file has it."""
    own = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    own["hydra"].setdefault("output_subdir", ".hydra")  # Hydra's default
    return own


def _check_targets(config: dict[str, Any]) -> None:
    plugins = Plugins.instance().class_name_to_class
    for key, value in leaves(config):
        if "_target_" not in key.split("."):
            continue
        if _PLACES.get(key) is None or not issubclass(plugins.get(str(value), object), _PLACES[key]):
            raise ConfigError(f"{key}={value}: configs name no code but launchers and sweepers of Hydra's plugins")


def _check_logging(config: dict[str, Any]) -> None:
    """See that Python's logging, which imports and calls what its config names, is told of plain handlers only."""
    if not _NAME.fullmatch(str(at(config, "hydra.job.name"))):
        raise ConfigError(f"hydra.job.name={at(config, 'hydra.job.name')}: letters, digits, - and _ are wanted")
    for part in ("hydra.job_logging", "hydra.hydra_logging"):
        for key, value in leaves(at(config, part) or {}):
            names, text = key.split("."), str(value)
            fine = "()" not in names and "" not in names and not text.startswith("cfg://")
            if names[-1] == "class":
                fine = fine and text in _HANDLERS
            elif names[-1] == "filename":
                fine = fine and bool(_LOG.fullmatch(text))
            elif "://" in text or "${" in text:
                fine = fine and text in ("ext://sys.stdout", "ext://sys.stderr")
            if not fine:
                raise ConfigError(f"{part}.{key}={value}: logs go to the screen or to a file of the run folder")


def _check_interpolations(config: dict[str, Any], command_line: str) -> None:
    """See that no value asks for more than what conf/ itself asks for: other keys, the clock, a few variables."""
    by_hand = {variable for resolver, variable in _interpolations(command_line) if resolver == "oc.env"}
    for key, value in leaves(config):
        if key.startswith(("hydra.overrides.", "hydra.job.override_dirname")) or not isinstance(value, str):
            continue  # the command line once more
        for resolver, variable in _interpolations(value):
            if resolver not in (*_RESOLVERS, ""):
                raise ConfigError(f"{key}: {resolver!r} is no interpolation of a config; {_KNOWN}")
            if resolver == "oc.env" and secrets.looks_secret(variable):
                raise ConfigError(f"{key}: {variable} holds a secret, which would stand in every file of the run")
            if resolver == "oc.env" and (not variable or variable not in (*_VARIABLES, *by_hand)):
                raise ConfigError(
                    f"{key}: the environment variable {variable!r} is not for a config file to ask for; "
                    f"say so yourself: {key}='${{oc.env:{variable}}}'"
                )


def _interpolations(text: str) -> Iterator[tuple[str, str]]:
    """The resolvers that a value calls, each with its first argument; "" for another key of the config."""
    for found in _INTERPOLATION.finditer(text):
        if len(found["escape"]) % 2:
            continue
        if found["end"] == ":":
            yield found["what"], found["rest"].partition(",")[0].strip(" \t\"'")
        elif found["end"] != "}":
            yield found["what"] + found["end"], ""  # made up of other interpolations
        else:
            yield "", ""


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if value and isinstance(value, (dict, list)):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def at(config: Any, key: str) -> Any:
    """The value of a dotted key, or None."""
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config


def _within(key: str, other: str) -> bool:
    """Whether a key is another one, or inside it."""
    return f"{key}.".startswith(f"{other}.")
