"""Which program is served, and by which config."""

from collections.abc import Sequence
from pathlib import Path

from bibleqa import config, promotion, reproduce
from bibleqa.errors import ConfigError
from bibleqa.results import past
from bibleqa.schema import Config


def find(model: str | None) -> Path | None:
    """The folder of a program: of a name in models/, of a run, or of what is promoted; None where nothing is.

    Raises:
        ConfigError: There is none of that name.
    """
    if model is None:
        return promotion.current()
    named = promotion.folder() / model
    if Path(model).name == model and named.is_dir():
        return named
    try:
        return past.find(model).path
    except ConfigError as error:
        raise ConfigError(f"--model {error}; nor is it a name in models/") from None


def config_of(folder: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The config by which the program of a folder is served; of the default one without a folder.

    Raises:
        ConfigError: Folder and overrides do not make one.
    """
    if folder is None:
        return config.compose(overrides)
    if folder.parent == promotion.folder():
        return promotion.config_of(folder, overrides)
    return config.compose(reproduce.expand([f"reproduce={folder}", "reproduce.mode=evaluate", *overrides]))
