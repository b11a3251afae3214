"""Bringing the corpus store up to date with what is at hand."""

import shutil
from pathlib import Path

import pytest

from bibleqa.data import sources
from bibleqa.data.corpora import english, sword
from bibleqa.data.corpus import Corpus
from bibleqa.data.store import Report
from bibleqa.errors import ConfigError
from bibleqa.schema import CorpusConfig

# STEPBible.org, CC BY 4.0; a row of TBESH and the header above it.
LEXICON = (
    "eStrong#\tdStrong\tuStrong\tHebrew\tTransliteration\tMorph\tGloss\tMeaning\n"
    "H0001\tH0001G =\tH0001G\tאָב\tav\tH:N-M\tfather\t1) father\n"
)


@pytest.fixture
def only_asv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is at hand on every machine, one translation, so that it is soon read."""
    monkeypatch.setattr(english, "PACKAGES", {"ASV": english.PACKAGES["ASV"]})

    def nowhere(sword_path: Path | None) -> Path:
        raise ConfigError("nowhere")

    monkeypatch.setattr(sword, "find", nowhere)


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    folder = tmp_path / "step"
    folder.mkdir()
    (folder / "TBESH.txt").write_text(LEXICON, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("project", "only_asv")
def test_a_folder_that_was_named_once_is_remembered_while_it_is_there(lexicon: Path) -> None:
    sources.ensure_store(CorpusConfig(stepbible_path=str(lexicon)))
    told: list[Report] = []

    store = sources.ensure_store(CorpusConfig(), told.append)

    assert not told, "it is up to date"
    assert [entry.strongs for entry in Corpus(store).entries("tbesh")] == ["H1"]

    shutil.rmtree(lexicon)
    sources.ensure_store(CorpusConfig(), told.append)

    assert {report.name for report in told} == {"english/ASV"}


@pytest.mark.usefixtures("project", "only_asv")
def test_a_source_that_changed_is_read_again_and_a_bad_one_leaves_the_old_store(lexicon: Path) -> None:
    corpus = CorpusConfig(stepbible_path=str(lexicon))
    store = sources.ensure_store(corpus)
    before = store.read_bytes()

    (lexicon / "TBESH.txt").write_text("Another\tformat\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"TBESH\.txt"):
        sources.ensure_store(corpus)
    assert store.read_bytes() == before

    (lexicon / "TBESH.txt").write_text(LEXICON.replace("father", "sire"), encoding="utf-8")
    sources.ensure_store(corpus)
    entry = Corpus(store).entry("H1", "tbesh")
    assert entry is not None
    assert entry.gloss == "sire"


@pytest.mark.usefixtures("project")
def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.stepbible_path"):
        sources.ensure_store(CorpusConfig(stepbible_path="/nowhere/at/all"))
