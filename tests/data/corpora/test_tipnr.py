from collections import Counter
from pathlib import Path

import pytest
from stepbible_samples import sample, tabbed, write

from bibleqa.data.corpora import tipnr
from bibleqa.data.corpora.records import ProperName, Reading
from bibleqa.errors import ConfigError

RULE = "‖================== | ‖=================="
FORM = "– Significance | UniqueName | dStrong«eStrong=Heb/Grk | ESV name (and KJV, NIV) | STEPBible link | All Refs"
# STEPBible.org, CC BY 4.0, with shorter links.
AARON = (
    "$========== PERSON(s)",
    "Aaron@Exo.4.14-Heb=H0175 | Priest, living at the time of Egypt | Amram@Exo.6.18-1Ch + Jochebed@Exo.6.20-Num | "
    "Moses@Exo.2.10-Rev, Miriam@Exo.15.20-Mic | Elisheba@Exo.6.23 | Nadab@Exo.6.23-1Ch, Abihu@Exo.6.23-1Ch | "
    "Levi Tribe | #A priest from the tribe of Levi | Male",
    "– Named | Aaron@Exo.4.14-Heb | H0175«H0175=אַהֲרֹן | Aaron | https://x | Exo.7.10b; Exo.4.14; Exo.7.10a",
    "– Greek | Aaron@Exo.4.14-Heb | G0002«G0002=Ἀαρών | Aaron | https://x | Luk.1.5; Act.7.40",
)
EBRON = (
    "$========== PLACE",
    "Abdon@Jos.21.30-1Ch=H5658G | Ebron | | | https://x | https://y | > | #A location | Place",
    "– Named | Abdon@Jos.21.30-1Ch | H5658G«H5658=עַבְדּוֹן | Abdon | https://x | Jos.21.30; 1Ch.6.74",
    "– Named | Ebron|Abdon@Jos.21.30-1Ch | H5683«H5683=עֶבְרֹן | Ebron (KJV= Hebron; NIV= Abdon) | https://x | Jos.19.28",
)
ZIV = (
    "$========== OTHER",
    "Ziv@1Ki.6.1-=H2099 | Name of the 2nd month",
    "– Named | Ziv@1Ki.6.1- | H2099«H2099=זִו | Ziv (KJV= Zif) | https://x | 1Ki.6.1; 1Ki.6.37",
)
END = ("ANNOTATED EXAMPLES", *EBRON, "$")


def person(unique: str = "Abda@1Ki.4.6=H5653G", parents: str = " + ", children: str = "", siblings: str = "") -> str:
    return f"{unique} | Man | {parents} | {siblings} | | {children} | > | #A man | Male"


def form(
    kind: str = "Named",
    name: str = "Abda@1Ki.4.6",
    number: str = "H5653G«H5653=עַבְדָּא",
    english: str = "Abda",
    at: str = "1Ki.4.6",
) -> str:
    return f"– {kind} | {name} | {number} | {english} | https://x | {at}"


def made(path: Path, *rows: str, end: str = "\n", bom: bool = False) -> Path:
    templates = []
    for kind, header in (("PERSON(s)", "person"), ("PLACE", "place"), ("OTHER", "other")):
        templates += [RULE, f"$========== {kind}", " | ".join(tipnr.HEADERS[header]) + " | Type", FORM, RULE, ""]
    return write(
        path, "TIPNR", *templates, "* Significance | is the type", "– Named | – ie a name", *rows, end=end, bom=bom
    )


def read(path: Path) -> tuple[list[ProperName], Reading]:
    reading = Reading(path)
    return list(tipnr.names(path, reading)), reading


def one(tmp_path: Path, *rows: str) -> ProperName:
    found, reading = read(made(tmp_path / "x.txt", "$========== PERSON(s)", *rows, *END))
    assert reading.rejects == []
    assert len(found) == 1
    return found[0]


def test_persons_places_and_others(tmp_path: Path) -> None:
    found, reading = read(made(tmp_path / "x.txt", *AARON, *EBRON, *ZIV, *END))
    assert (reading.rows, reading.rejects) == (8, [])
    assert found == [
        ProperName(
            kind="person",
            name="Aaron",
            unique="Aaron@Exo.4.14",
            strongs=("H175", "G2"),
            description="Priest, living at the time of Egypt",
            relations=(
                ("father", "Amram@Exo.6.18"),
                ("mother", "Jochebed@Exo.6.20"),
                ("sibling", "Moses@Exo.2.10"),
                ("sibling", "Miriam@Exo.15.20"),
                ("spouse", "Elisheba@Exo.6.23"),
                ("child", "Nadab@Exo.6.23"),
                ("child", "Abihu@Exo.6.23"),
            ),
            verses=(2004014, 2007010, 42001005, 44007040),
        ),
        ProperName(
            kind="place",
            name="Abdon",
            unique="Abdon@Jos.21.30",
            strongs=("H5658G", "H5683"),
            description="A location",
            verses=(6019028, 6021030, 13006074),
        ),
        ProperName(
            kind="other",
            name="Zif",
            unique="Ziv@1Ki.6.1",
            strongs=("H2099",),
            description="Name of the 2nd month",
            verses=(11006001, 11006037),
        ),
    ]


def test_every_row_of_the_sample_is_read(tmp_path: Path) -> None:
    path, whole = sample("TIPNR.txt", made(tmp_path / "x.txt", *AARON, *EBRON, *ZIV, *END))
    found, reading = read(path)
    assert reading.rejects == []
    kinds = Counter(name.kind for name in found)
    expected = {"person": 3119, "place": 1017, "other": 113} if whole else {"person": 1, "place": 1, "other": 1}
    assert kinds == expected
    assert reading.rows == (10020 if whole else 8)
    uniques = {name.unique for name in found}
    assert len(uniques) == len(found)
    assert all(name.name and name.description for name in found if name.kind == "person")
    if whole:
        # The source has five relations to individuals that it does not list.
        assert len({unique for name in found for _, unique in name.relations} - uniques) == 5
        # In verses of the Septuagint alone.
        assert [name.unique for name in found if not name.verses] == [
            "Asen@Neh.10.19",
            "Janen@Num.21.19",
            "Jemnath@Jos.15.46",
        ]


def test_aaron_of_the_sample_is_the_one_above(tmp_path: Path) -> None:
    found, _ = read(sample("TIPNR.txt", made(tmp_path / "x.txt", *AARON, *END))[0])
    aaron = next(name for name in found if name.unique == "Aaron@Exo.4.14")
    assert aaron.strongs == ("H175", "G2")
    assert ("father", "Amram@Exo.6.18") in aaron.relations


def test_relations_in_doubt_and_over_generations_are_told_apart(tmp_path: Path) -> None:
    row = person(
        parents="Caleb@1Ch.2.9-(d) + Rahab@Jos.2.1-Jas(d?)",
        siblings="Jether@1Ch.4.17(?), Maacathite|Maacath@Jos.13.13(?)",
        children="Shelah@Gen.38.5-(d), Gazez@1Ch.2.46a",
    )
    assert one(tmp_path, row, form()).relations == (
        ("ancestor", "Caleb@1Ch.2.9"),
        ("ancestor?", "Rahab@Jos.2.1"),
        ("sibling?", "Jether@1Ch.4.17"),
        ("sibling?", "Maacath@Jos.13.13"),
        ("descendant", "Shelah@Gen.38.5"),
        ("child", "Gazez@1Ch.2.46a"),
    )


def test_a_relation_from_tradition_alone_is_none(tmp_path: Path) -> None:
    found = one(tmp_path, person(parents="Noah@Gen.5.29-2Pe + Naamah@Tradition"), form())
    assert found.relations == (("father", "Noah@Gen.5.29"),)


def test_peoples_and_parts_of_names_do_not_count_as_the_individual(tmp_path: Path) -> None:
    found = one(
        tmp_path,
        person(),
        form(),
        form(kind="Group", number="H1111«H1111=x", at="Gen.1.1"),
        form(kind="Name Combined", number="H2222«H2222=x+H3333G«H3333=y", english="[ ]", at=""),
        form(kind="Mentioned", number="H0802J=.", at="1Ki.4.7"),
        form(kind="LXX additions", number="H5653G«H5653=x", at="LXX.1Ki.4.9; [1Ki.4.8]"),
    )
    assert found.strongs == ("H5653G",)
    assert found.verses == (11004006, 11004007, 11004008)


def test_a_name_of_parts_alone_has_their_numbers(tmp_path: Path) -> None:
    combined = form(kind="Name Combined", number="G4588«G4588=Σέργιος+G3972H«G3972=Παῦλος")
    assert one(tmp_path, person(), combined).strongs == ("G4588", "G3972H")


@pytest.mark.parametrize(
    ("english", "name"),
    [
        ("Abda", "Abda"),
        ("Bezalel (KJV= Bezaleel)", "Bezaleel"),
        ("Ebron (NIV= Abdon; KJV= Hebron)", "Hebron"),
        ("Asharelah (KJV, NIV= Asarelah)", "Asarelah"),
        ("Temah (KJV= Tamah, Thamah)", "Tamah"),
        ("Josheb-basshebeth (KJV= that sat in the seat)", "Abda"),
        ("Malchijah (=KJV; NIV= Malkijah)", "Abda"),
    ],
)
def test_names_are_spelled_as_in_the_king_james_version(tmp_path: Path, english: str, name: str) -> None:
    assert one(tmp_path, person(), form(english=english)).name == name


def test_the_king_james_spelling_of_one_form_is_not_that_of_the_name(tmp_path: Path) -> None:
    greek = form(kind="Greek", number="G5617«G5617=Ὡσηέ", english="Hosea (KJV= Osee)")
    assert one(tmp_path, person(), form(english="Hosea"), greek).name == "Abda"
    assert one(tmp_path, person(), form(name="Osee|Abda@1Ki.4.6", english="Osee (KJV= Oshea)")).name == "Abda"


def test_names_are_plain_text(tmp_path: Path) -> None:
    found = one(tmp_path, person("daughter_of_Machir@1Ch.2.21=H4353I"), form(name="daughter_of_Machir@1Ch.2.21"))
    assert found.name == "daughter of Machir"


def test_two_of_the_same_unique_name_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    rows = []
    for letter in "KJ":
        rows += ["$========== PERSON(s)", person(f"Malchijah@Ezr.10.25=H4441{letter}"), form()]
    found, _ = read(made(tmp_path / "x.txt", *rows, *END))
    assert [name.unique for name in found] == ["Malchijah@Ezr.10.25", "Malchijah@Ezr.10.25=H4441J"]


def test_a_list_of_verses_that_the_source_breaks_off(tmp_path: Path) -> None:
    assert one(tmp_path, person(), form(at="Gen.2.4; Etc.0.0")).verses == (1002004,)


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path, end: str, bom: bool) -> None:
    plain, _ = read(made(tmp_path / "a.txt", *AARON, *EBRON, *ZIV, *END))
    other, _ = read(made(tmp_path / "b.txt", *AARON, *EBRON, *ZIV, *END, end=end, bom=bom))
    assert len(plain) == 3
    assert other == plain


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((person()[:30],), "columns instead of 8: the line is truncated"),
        ((person("Abda=H5653G"),), "'Abda=H5653G' is not a unique name"),
        ((person(parents="Nobody + "),), "'Nobody' is not a unique name of a father"),
        ((person(), form(at="1Ki.4")), "'1Ki.4' is not a reference"),
        ((person(), form(at="Xyz.4.6")), "'Xyz' is not a book of the Bible"),
        ((person(), "– Named | Abda@1Ki.4.6 | H5653G"), "3 columns instead of 6: the line is truncated"),
        ((person(), "what is this | x | x | x | x | x"), "'what is this' is neither a record nor a form of a name"),
    ],
)
def test_what_does_not_parse_is_rejected_with_line_and_reason(
    tmp_path: Path, rows: tuple[str, ...], reason: str
) -> None:
    path = made(tmp_path / "x.txt", *AARON, "$========== PERSON(s)", *rows, *ZIV, *END)
    found, reading = read(path)
    assert {"Aaron", "Zif"} <= {name.name for name in found}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [(reject.file, lines[reject.line - 1]) for reject in reading.rejects] == [("x.txt", tabbed(rows[-1]))]
    assert reason in reading.rejects[0].reason


def test_an_unknown_kind_of_record_is_rejected(tmp_path: Path) -> None:
    _, reading = read(made(tmp_path / "x.txt", "$========== ANIMAL", person(), *END))
    assert "'ANIMAL' is no kind of record" in reading.rejects[0].reason


def test_a_file_that_breaks_off_is_told(tmp_path: Path) -> None:
    _, reading = read(made(tmp_path / "x.txt", *AARON[:3]))
    assert [reject.reason for reject in reading.rejects] == [
        "ends without the $ that closes the table: it is truncated"
    ]


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.txt", "TIPNR", "$========== PERSON(s)", "UniqueName=uStrong | Parents | Description", *AARON
    )
    with pytest.raises(ConfigError, match=r"x\.txt:3: another version.*Parents.*expected UnifiedName=uStrong"):
        read(path)


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    _, reading = read(made(tmp_path / "x.txt"))
    with pytest.raises(ConfigError, match=r"x\.txt: no data rows"):
        reading.check(0.001)
