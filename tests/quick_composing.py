"""Hydra's composing, without what it does again and again for nothing: hundreds of tests compose.

A run composes twice and is better off without this. What is known of an earlier composing is what follows from the
content of the files alone; overrides of values are applied to it anew. What tests start composes as Hydra does.
"""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

_CONTENT = "content"
"""The attribute that says of which file, with which content, a result of Hydra's is."""


def install() -> None:
    """Have Hydra compose quickly in this process."""
    if hasattr(ConfigStore, "__deepcopy__"):
        return
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]  # the one store of all schemas
    defaults_list._create_interpolation_map = _where_wanted(defaults_list._create_interpolation_map)
    Plugins.instance()  # makes the classes of the registry
    files: Any = SourcesRegistry.instance().resolve("file")
    files.load_config = _parsed_once(files.load_config)
    loader: Any = ConfigLoaderImpl
    loader._compose_config_from_defaults_list = _merged_once(loader._compose_config_from_defaults_list)


def _where_wanted(make: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra's table of what is chosen, for interpolations in a list of defaults: hardly a list has one."""

    @functools.wraps(make)
    def made(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        if any(not default.is_self() and default.is_interpolation() for default in defaults):
            return make(overrides, defaults, self_added)
        return None

    return made


def _parsed_once(load: Callable[..., ConfigResult]) -> Callable[..., ConfigResult]:
    """Hydra's reading of a config file, which is parsed again only when its content is another."""
    known: dict[tuple[Any, ...], ConfigResult] = {}

    @functools.wraps(load)
    def loaded(self: Any, config_path: str) -> ConfigResult:
        name = self._normalize_file_name(config_path)
        content = (self.provider, self.path, name, Path(self.path, name).read_bytes())
        if content not in known:
            known[content] = load(self, config_path)
            setattr(known[content], _CONTENT, content)
        return copy.deepcopy(known[content])

    return loaded


def _merged_once(merge: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Hydra's merging of a list of configs, which is done again only when one of them is another."""
    known: dict[tuple[Any, ...], DictConfig] = {}

    @functools.wraps(merge)
    def merged(self: Any, defaults: list[Any], repo: Any) -> DictConfig:
        contents = [getattr(repo.load_config(one.config_path), _CONTENT, None) for one in defaults]
        key = (repr(defaults), *contents)
        if key not in known:
            known[key] = merge(self, defaults, repo)
            OmegaConf.clear_cache(known[key])  # what time it was
        return copy.deepcopy(known[key])

    return merged
