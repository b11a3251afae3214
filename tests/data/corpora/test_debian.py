import shutil
from pathlib import Path

import pytest

from bibleqa.data.corpora import sword
from bibleqa.data.corpora.debian import fetch_sword
from bibleqa.errors import ConfigError

DPKG = 'mkdir -p "$3/usr/share/sword"'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only programs, besides those of every system, are what a test puts into this folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cp", "mkdir", "sh", "touch"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(folder: Path, name: str, does: str) -> None:
    path = folder / name
    path.write_text(f"#!{folder}/sh\n{does}\n")
    path.chmod(0o755)


def test_what_is_fetched_is_complete_and_leaves_nothing_beside(sword_folder: Path) -> None:
    assert sword.find(sword_folder) == sword_folder
    assert {path.name for path in (sword_folder / "mods.d").iterdir()} == {
        "engKJV2006eb.conf",
        "strongsgreek.conf",
        "strongshebrew.conf",
    }
    assert list(sword_folder.parent.glob("sword.*")) == []


def test_a_complete_folder_is_not_fetched_again(sword_folder: Path, tools: Path) -> None:
    assert fetch_sword(sword_folder) == sword_folder


def test_without_apt_it_says_what_to_do_instead(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"apt-get is not on this machine.*corpus\.sword_path"):
        fetch_sword(tmp_path / "cache" / "sword")


def test_missing_package_lists_are_named_and_nothing_is_left(tools: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", 'echo "E: Unable to locate package sword-text-kjv" >&2; exit 100')
    script(tools, "dpkg-deb", DPKG)
    with pytest.raises(ConfigError, match=r"Unable to locate package sword-text-kjv \(run `apt-get update` first"):
        fetch_sword(tmp_path / "cache" / "sword")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_package_is_refused(tools: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", "touch sword-text-kjv.deb")
    script(tools, "dpkg-deb", 'echo "dpkg-deb: error: unexpected end of file" >&2; exit 2')
    with pytest.raises(ConfigError, match=r"unexpected end of file \(the package is damaged"):
        fetch_sword(tmp_path / "cache" / "sword")


def test_packages_without_the_modules_are_refused(tools: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", "touch sword-text-kjv.deb")
    script(tools, "dpkg-deb", DPKG)
    with pytest.raises(ConfigError, match="has no module engKJV2006eb"):
        fetch_sword(tmp_path / "cache" / "sword")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_folder_is_not_overwritten(tools: Path, sword_folder: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", "touch sword-text-kjv.deb")
    script(tools, "dpkg-deb", f'{DPKG}; cp -r "{sword_folder}/." "$3/usr/share/sword"')
    folder = tmp_path / "cache" / "sword"
    folder.mkdir(parents=True)
    (folder / "precious").write_text("mine")
    with pytest.raises(ConfigError, match="remove it"):
        fetch_sword(folder)
    assert [path.name for path in folder.iterdir()] == ["precious"]
    (folder / "precious").unlink()
    assert fetch_sword(folder) == folder
    assert (folder / "mods.d").is_dir()
