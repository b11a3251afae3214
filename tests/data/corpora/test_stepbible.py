import io
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.corpora import stepbible
from bibleqa.data.corpora.records import Strongs
from bibleqa.data.corpora.stepbible import BOOKS, HebrewTags, WordReference, parse_greek_tags
from bibleqa.errors import ConfigError

LONG = "TAHOT Gen-Deu - Translators Amalgamated Hebrew OT - STEPBible.org CC BY.txt"

books = st.sampled_from([code.capitalize() if code.isalpha() else code[0] + code[1:].capitalize() for code in BOOKS])
numbers = st.tuples(st.integers(1, 150), st.integers(0, 176))
letters = st.sampled_from(["", *"ABCGHz"])
lexemes = st.builds("H{:04d}{}".format, st.integers(1, 8999), letters)
affixes = st.sampled_from([f"H90{number:02d}" for number in (*range(1, 14), *range(20, 50))])


def test_the_66_books_have_their_numbers() -> None:
    assert len(BOOKS) == 66
    assert [BOOKS[code] for code in ("gen", "psa", "mal", "mat", "jhn", "jud", "rev")] == [1, 19, 39, 40, 43, 65, 66]


def test_files_are_found_by_their_long_names_and_below(tmp_path: Path) -> None:
    (tmp_path / "Translators Amalgamated OT+NT").mkdir()
    (tmp_path / "Older Formats").mkdir()
    for name in (f"Translators Amalgamated OT+NT/{LONG}", "TBESH.txt", "Older Formats/TBESH.txt", "TIPNR.docx"):
        (tmp_path / name).touch()
    found = stepbible.find(tmp_path)
    assert found["tahot"] == [tmp_path / "Translators Amalgamated OT+NT" / LONG]
    assert found["tbesh"] == [tmp_path / "TBESH.txt"]
    assert found["tipnr"] == []


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_folder_without_the_files_is_refused_with_the_key_to_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.stepbible_path.*https://github\.com/STEPBible/STEPBible-Data"):
        stepbible.find(tmp_path / name)


def test_the_digest_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    def files(folder: str, content: bytes) -> list[Path]:
        (tmp_path / folder).mkdir()
        for name in ("a.txt", "b.txt"):
            (tmp_path / folder / name).write_bytes(content)
        return [tmp_path / folder / "b.txt", tmp_path / folder / "a.txt"]

    first, second, other = files("1", b"x"), files("2", b"x"), files("3", b"y")
    assert stepbible.digest(first) == stepbible.digest(reversed(second))
    assert stepbible.digest(first) != stepbible.digest(other)
    assert stepbible.digest(first) != stepbible.digest(first[:1])


def test_byte_order_mark_and_carriage_returns_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffאב\tc\r\nd\r\n".encode())
    assert list(stepbible.lines(path)) == [(1, "אב\tc"), (2, "d")]


def test_the_same_letters_are_the_same_characters(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("λ\u1f79γος\nλ\u03bf\u0301γος\n\u05e9\u05b8\u05c1\n\u05e9\u05c1\u05b8\n", encoding="utf-8")
    greek, other, hebrew, reordered = (line for _, line in stepbible.lines(path))
    assert greek == other == "λ\u03ccγος"
    assert hebrew == reordered


@pytest.mark.parametrize(
    ("encoding", "place"),
    [("cp1255", r"x\.txt:2: not UTF-8: byte 0xe0 at offset 4"), ("utf-16", r"x\.txt:1: not UTF-8: byte 0x")],
)
def test_another_encoding_is_refused_with_line_and_byte(tmp_path: Path, encoding: str, place: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("abc\nא".encode(encoding))
    with pytest.raises(ConfigError, match=place):
        list(stepbible.lines(path))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.txt cannot be read"):
        list(stepbible.lines(tmp_path / "gone.txt"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Gen.1.1#01=L", WordReference(1001001, 1, "L")),
        ("Psa.3.0(3.1)#01=L", WordReference(19003000, 1, "L", round=19003001)),
        ("Rut.3.14#02=Q(K)", WordReference(8003014, 2, "Q(K)")),
        ("Psa.22.16(22.17)#07=L(ah+b)", WordReference(19022016, 7, "L(ah+b)", round=19022017)),
        ("Gen.4.8#0501=X", WordReference(1004008, 501, "X")),
        ("2Co.13.13[13.14]#22=K", WordReference(47013013, 22, "K", square=47013014)),
        ("Rom.16.25{14.24}#01=NKO", WordReference(45016025, 1, "NKO", curly=45014024)),
        ("Rom.3.26(3.25)[3.25]#01=N(k)(o)", WordReference(45003026, 1, "N(k)(o)", 45003025, 45003025)),
    ],
)
def test_references_as_the_files_have_them(text: str, expected: WordReference) -> None:
    assert WordReference.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Gen.1.1",
        "Gen.1.1#01",
        "Gen.1.1#=L",
        "Gen.1.1a#01=L",
        "Gen.0.1#01=L",
        "Gen.1.999#01=L",
        "Xyz.1.1#01=L",
        "Gen.1.1[1.2)#01=L",
        "Gen.1.1[1.2][1.3]#01=L",
        "Gen.1.1#01=M +T",
        "Gen.١.١#01=L",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a reference|not a book|has no|two references"):
        WordReference.parse(text)


@given(books, numbers, st.sets(st.sampled_from(["()", "[]", "{}"])), numbers, st.integers(0, 9999), st.text("LQKNO(+)"))
def test_every_reference_that_can_be_written_reads_back(
    book: str, place: tuple[int, int], brackets: set[str], other: tuple[int, int], word: int, kind: str
) -> None:
    others = "".join(f"{pair[0]}{other[0]}.{other[1]}{pair[1]}" for pair in sorted(brackets))
    text = f"{book}.{place[0]}.{place[1]}{others}#{word:02d}={kind or 'L'}"
    parsed = WordReference.parse(text)
    base = BOOKS[book.lower()] * 1_000_000
    second = base + other[0] * 1000 + other[1]
    assert parsed.verse == base + place[0] * 1000 + place[1]
    assert (parsed.word, parsed.type) == (word, kind or "L")
    found = (parsed.round, parsed.square, parsed.curly)
    assert found == tuple(second if pair in brackets else None for pair in ("()", "[]", "{}"))


@given(st.text())
def test_no_text_makes_the_parsers_fail_otherwise_than_with_a_value_error(text: str) -> None:
    for parse in (WordReference.parse, HebrewTags.parse, parse_greek_tags):
        with suppress(ValueError):
            assert parse(text)


@pytest.mark.parametrize(
    ("text", "numbers", "affixes"),
    [
        ("H9003/{H7225G}", ["H7225G"], ["H9003"]),
        ("{H0430G}", ["H430G"], []),
        (r"H9009/{H0776G}\H9016", ["H776G"], ["H9009"]),
        (r"H9002/{H0776G}/H9023\H9014\H9016", ["H776G"], ["H9002", "H9023"]),
        (r"H9005/H9030\H9016", [], ["H9005", "H9030"]),
        ("H9005/{H9031}", [], ["H9005", "H9031"]),
        ("{H0935G}//{H1409}", ["H935G", "H1409"], []),
        ("{H4100}/H9014/{H2088}", ["H4100", "H2088"], []),
        ("H9006/{H1035G}+", ["H1035G"], ["H9006"]),
    ],
)
def test_hebrew_numbers_as_the_files_have_them(text: str, numbers: list[str], affixes: list[str]) -> None:
    tags = HebrewTags.parse(text)
    assert [str(number) for number in tags.lexemes] == numbers
    assert list(tags.affixes) == affixes


@pytest.mark.parametrize(
    "text", ["", "/", "H0430G", "{H0430G", "H0430G}", "{}", "{G2316}", "{H0000}", "{{H0430}}", "{H430=God}", r"\H9016"]
)
def test_what_is_no_list_of_hebrew_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Strong's number|Greek number|outside of braces"):
        HebrewTags.parse(text)


@given(st.lists(affixes, max_size=3), lexemes, st.lists(affixes, max_size=2), st.sampled_from(["", r"\H9014", "+"]))
def test_every_hebrew_word_that_can_be_written_reads_back(
    before: list[str], lexeme: str, after: list[str], end: str
) -> None:
    tags = HebrewTags.parse("/".join([*before, f"{{{lexeme}}}", *after]) + end)
    assert tags == HebrewTags((Strongs.parse(lexeme),), (*before, *after))


def test_greek_numbers_come_with_their_grammar() -> None:
    assert parse_greek_tags("G2424G=N-NSM-P") == [(Strongs("G2424", "G"), "N-NSM-P")]
    both = [(Strongs("G1473"), "P-1NS"), (Strongs("G2532"), "CONJ")]
    assert parse_greek_tags("G1473=P-1NS + G2532=CONJ") == both


@pytest.mark.parametrize("text", ["", "G2424G", "G2424G=", "=N-NSM", "H0430=N-NSM", "G1473=P-1NS + ", "G1=A=B + x"])
def test_what_is_no_greek_number_with_grammar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_greek_tags(text)


@pytest.fixture
def server() -> Iterator[list[bytes]]:
    """Serves the one body in the list in place of the pinned archive."""
    body: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(b"".join(body))

        def log_message(self, format: str, *args: object) -> None:
            pass

    served = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepbible, "ARCHIVE", f"http://127.0.0.1:{served.server_port}/x.zip")
        yield body
    served.shutdown()
    served.server_close()
    thread.join()


def test_the_pinned_commit_is_unpacked_to_what_is_read(tmp_path: Path, server: list[bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("OT/" + LONG, "OT/OLD format/TAHOT old.txt", "Lexicons/TBESH x.txt", "README.md"):
            archive.writestr(f"STEPBible-Data-1/{name}", "content")
    server.append(buffer.getvalue())
    assert stepbible.fetch(tmp_path / "data") == tmp_path / "data"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [LONG, "TBESH x.txt"]


@pytest.mark.parametrize("body", [[], [b"<html>sign in to this network</html>"]])
def test_a_fetch_that_fails_says_where_to_get_the_data_and_which_key_to_set(
    tmp_path: Path, server: list[bytes], body: list[bytes]
) -> None:
    server.extend(body)
    with pytest.raises(ConfigError, match=r"could not be fetched.*git clone.*corpus\.stepbible_path"):
        stepbible.fetch(tmp_path / "data")


def test_without_a_network_the_fetch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepbible, "ARCHIVE", "http://127.0.0.1:9/x.zip")
    with pytest.raises(ConfigError, match=re.escape("http://127.0.0.1:9/x.zip could not be fetched")):
        stepbible.fetch(tmp_path)


def test_nothing_is_fetched_when_all_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepbible, "ARCHIVE", "http://127.0.0.1:9/x.zip")
    for kind in stepbible.PATTERNS:
        (tmp_path / f"{kind.upper()} x.txt").touch()
    assert stepbible.fetch(tmp_path) == tmp_path
