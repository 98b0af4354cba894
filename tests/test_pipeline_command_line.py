"""The command line: its contract, and every bad input as one clear line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.command_line.main import cli, main
from pipeline.search.query import MAX_QUERY_CHARACTERS, Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder

TINY_BERT = Path(__file__).parent / "data" / "tiny_bert"
TINY_CROSS_ENCODER = Path(__file__).parent / "data" / "tiny_cross_encoder"
SUMMARY_KEYS = {
    "version",
    "published",
    "added",
    "changed",
    "removed",
    "unchanged",
    "passages_encoded",
    "passages_reused",
    "seconds",
    "warnings",
}


@dataclass(frozen=True)
class Told:
    """What a command told, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:  # noqa: ANN401
        """The one JSON value on standard output."""
        return json.loads(self.out)


Trine = Callable[..., Told]


@pytest.fixture
def trine(capsysbinary: pytest.CaptureFixture[bytes]) -> Trine:
    """Run the command in this process."""

    def run(*arguments: object) -> Told:
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        told = Told(int(done.value.code or 0), out.decode(), err.decode())
        assert "Traceback" not in told.err
        return told

    return run


def failed(told: Told) -> str:
    """The one line of an error."""
    assert told.status == 1, told
    lines = told.err.splitlines()
    assert len(lines) == 1, told.err
    assert lines[0].startswith("trine: ")
    assert "unexpected" not in lines[0]
    return lines[0]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "penguins.md").write_text("# Penguins\n\nPenguins swim under the ice.")
    (folder / "sparrows.txt").write_text("Sparrows fly over the roofs.")
    (folder / "whales.html").write_text(
        "<html><head><title>Whales</title></head><body><p>Whales sing in every sea, and "
        "they swim far.</p></body></html>"
    )
    return folder


@pytest.fixture
def library_folder(copied_data_dir: Path) -> CollectionFolder:
    return CollectionFolder(copied_data_dir, "default")


# ---- a real process -----------------------------------------------------------------------


def process(*arguments: object, **environment: str) -> Told:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.command_line.main", *map(str, arguments)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    told = Told(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in told.err
    return told


def test_index_and_search_in_processes_of_their_own(notes: Path, tmp_path: Path) -> None:
    data_dir = str(tmp_path / "data")
    # No transformer: importing torch takes longer than all the rest.
    indexed = process("index", notes, "--signals", "bm25", "--json", TRINE_DATA_DIR=data_dir)
    assert indexed.status == 0, indexed.err
    assert indexed.err == ""
    assert indexed.value.keys() >= SUMMARY_KEYS
    assert (indexed.value["published"], indexed.value["added"]) == (True, 3)
    # JSON is UTF-8, whatever the terminal takes.
    found = process(
        "search", "swim “ice”", "--json", TRINE_DATA_DIR=data_dir, PYTHONIOENCODING="ascii"
    )
    assert found.status == 0, found.err
    assert found.err == ""
    assert found.value["query"] == "swim “ice”"
    assert found.value["hits"][0]["doc_id"] == "penguins.md"


def test_exit_status_of_a_process(tmp_path: Path) -> None:
    data_dir = str(tmp_path / "data")
    assert "no collection" in failed(process("search", "x", TRINE_DATA_DIR=data_dir))
    usage = process("search", TRINE_DATA_DIR=data_dir)
    assert usage.status == 2
    assert usage.err.startswith("Usage: ")
    told = process("--version")
    assert (told.status, told.out.split()[0], told.err) == (0, "trine", "")
    refused = process("collections", "delete", "x", "--data-dir", data_dir)
    assert "no collection 'x'" in failed(refused)


def test_a_reader_that_has_seen_enough_is_no_error(library_data_dir: Path) -> None:
    command = f"{sys.executable} -m pipeline.command_line.main versions"
    done = subprocess.run(
        ["bash", "-c", f"{command} --data-dir '{library_data_dir}' | true"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""


# ---- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_command(trine: Trine, option: str) -> None:
    told = trine(option)
    assert told.status == 0
    for name in ("index", "search", "serve", "evaluate", "versions", "collections", "delete"):
        assert f"\n  {name} " in told.out
    for name in (*cli.commands, "reindex"):
        assert trine(name, option).status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search"],
        ["search", "x", "--nonsense"],
        ["search", "x", "-k", "many"],
        ["search", "x", "--fusion", "magic"],
        ["index"],
        ["delete"],
        ["evaluate"],
        ["evaluate", "/nowhere/at/all"],
        ["versions", "prune", "--keep", "0"],
        ["versions", "diff", "a"],
        ["versions", "nonsense"],
        ["collections", "rename", "a"],
    ],
)
def test_wrong_usage_ends_with_two(trine: Trine, arguments: list[str]) -> None:
    told = trine(*arguments)
    assert told.status == 2
    assert "Error: " in told.err
    assert told.out == ""
    assert trine(*arguments, "--json").value["error"]


# ---- index --------------------------------------------------------------------------------


def test_index_again_delete_and_reindex(trine: Trine, notes: Path, tmp_path: Path) -> None:
    place = ("--data-dir", tmp_path / "data", "--collection", "zoo", "--json")
    first = trine("index", notes, "--model", TINY_BERT, *place)
    assert first.status == 0, first.err
    assert first.value["added"] == first.value["passages_encoded"] == 3
    # Sources and settings are remembered.
    again = trine("index", *place).value
    assert (again["published"], again["unchanged"]) == (False, 3)
    assert again["version"] == first.value["version"]
    (notes / "ants.txt").write_text("Ants carry leaves.")
    more = trine("reindex", *place).value
    assert (more["added"], more["unchanged"]) == (1, 3)
    assert (more["passages_encoded"], more["passages_reused"]) == (1, 3)
    less = trine("delete", "ants.txt", *place).value
    assert less.keys() >= SUMMARY_KEYS
    assert (less["removed"], less["passages_encoded"]) == (1, 0)
    changed = trine("versions", "diff", more["version"], less["version"], *place).value
    assert (changed["removed"], changed["unchanged"]) == (1, 3)
    assert not changed["settings_changed"]
    hits = trine("search", "ants", *place).value["hits"]
    assert "ants.txt" not in [hit["doc_id"] for hit in hits]
    assert trine("index", *place).value["added"] == 1
    full = trine("index", "--full", *place).value
    assert (full["published"], full["passages_encoded"]) == (True, 4)


def test_what_was_skipped_is_told(trine: Trine, notes: Path, tmp_path: Path) -> None:
    (notes / "[b] :smile:.txt").write_text("")
    (notes / "picture.png").write_bytes(b"\x89PNG\x00\x01\x02")
    arguments = ("index", notes, "--signals", "bm25", "--data-dir", tmp_path / "data")
    told = trine(*arguments)
    assert told.status == 0
    assert "[b] :smile:.txt" in told.err
    assert "default: 3 documents" in told.out
    assert any("picture.png" in line for line in trine(*arguments, "--json").value["warnings"])


def test_a_relative_model_is_found_from_elsewhere(
    trine: Trine, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--data-dir", tmp_path / "data", "--json")
    monkeypatch.chdir(TINY_BERT.parent)
    assert trine("index", notes, "--model", TINY_BERT.name, "--signals", "bert", *place).status == 0
    monkeypatch.chdir(tmp_path)
    (notes / "ants.txt").write_text("Ants carry leaves.")
    assert trine("reindex", *place).value["added"] == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.txt", "no such file or folder"),
        ("", "no such file or folder: ''"),
        ("~nobody-at-all/x", "no such file or folder"),
        ("*.nothing", "no file matches"),
        ("empty", "no documents found"),
        ("pydoc:no_such_module_at_all", "no_such_module_at_all"),
        ("twice", "two documents have the id 'a'"),
        ("\udcff.txt", "no such file or folder"),
    ],
)
def test_a_source_that_cannot_be_indexed(
    trine: Trine,
    library_folder: CollectionFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for name in ("x.jsonl", "y.jsonl"):
        (tmp_path / "twice" / name).write_text('{"_id": "a", "text": "same id"}\n')
    before = library_folder.current()
    for options in ((), ("--json",)):
        told = trine("index", source, "--data-dir", library_folder.data_dir, *options)
        assert message in failed(told)
        if options:
            assert message in told.value["error"]
    assert library_folder.current() == before
    assert library_folder.versions() == [before]


def test_one_document_is_enough(trine: Trine, notes: Path, tmp_path: Path) -> None:
    place = ("--data-dir", tmp_path / "data")
    told = trine("index", notes / "penguins.md", "--model", TINY_BERT, *place)
    assert told.status == 0, told.err
    answer = trine("search", "penguins", "--json", *place).value
    assert [hit["doc_id"] for hit in answer["hits"]] == ["penguins.md"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--signals", "bm26"], "unknown signal 'bm26'"),
        (["--signals", ","], "no signal given"),
        (["--model", "no/such model"], "no/such model"),
        (["--word-vectors", "missing.bin"], "missing.bin"),
    ],
)
def test_settings_that_make_no_sense(
    trine: Trine, notes: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    told = trine("index", notes, "--data-dir", tmp_path / "data", *options)
    assert message in failed(told)


# ---- search -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ([], Query("open a file")),
        (["-k", "3", "--page", "2"], Query("open a file", k=3, page=2)),
        (
            ["--filter", "number:[1 TO 5]", "--facets", "subject, tags", "--sort", "number:desc"],
            Query(
                "open a file",
                filter="number:[1 TO 5]",
                facets=("subject", "tags"),
                sort="number:desc",
            ),
        ),
        (
            ["--signals", "bm25,bert", "--weights", "bm25:1,bert:3", "--fusion", "z_score"],
            Query(
                "open a file",
                signals=("bm25", "bert"),
                weights={"bm25": 1.0, "bert": 3.0},
                fusion="z_score",
            ),
        ),
        (["--min-probability", "0.3"], Query("open a file", min_probability=0.3)),
        (["--diversity", "0.5", "--collapse"], Query("open a file", diversity=0.5, collapse=True)),
        (["--collapse-threshold", "0.6"], Query("open a file", collapse=0.6)),
        (["--no-correction"], Query("open a file", correct=False)),
    ],
)
def test_search_tells_what_the_searcher_tells(
    trine: Trine, searcher: Searcher, library_data_dir: Path, options: list[str], query: Query
) -> None:
    told = trine("search", "open", "a", "file", "--json", "--data-dir", library_data_dir, *options)
    assert told.status == 0
    assert told.err == ""
    expected = json.loads(json.dumps(searcher.search(query).to_json()))
    for answer in (told.value, expected):
        assert answer["took_ms"] >= 0
    ignored = {"took_ms", "stages_ms"}
    assert {k: v for k, v in told.value.items() if k not in ignored} == {
        k: v for k, v in expected.items() if k not in ignored
    }
    assert list(told.value) == list(expected)


def test_search_for_people(trine: Trine, library_data_dir: Path) -> None:
    place = ("--data-dir", library_data_dir)
    told = trine("search", "bold quoted", "--explain", "--facets", "subject", *place)
    assert told.status == 0
    assert '<b>bold</b> & "quoted"' in told.out
    for part in ("bm25", "tfidf", "word2vec", "bert", "regularization", "exactness", "subject: "):
        assert part in told.out
    assert re.search(r"query: .*\bbold \+\d", told.out)
    assert re.search(r"document: .*\bbold \+\d", told.out)
    assert trine("search", *place, "--", "-file", "open").status == 0


def test_search_re_ranks_by_a_folder(trine: Trine, library_data_dir: Path, tmp_path: Path) -> None:
    place = ("--data-dir", library_data_dir)
    ample = ("--rerank-budget-ms", 60_000, "--rerank-depth", 5)
    told = trine("search", "open file", "--rerank", TINY_CROSS_ENCODER, *ample, "--json", *place)
    assert told.err == ""
    assert (told.value["rerank"]["applied"], told.value["rerank"]["scored"]) == (True, 5)
    shown = trine(
        "search", "open file", "--rerank", TINY_CROSS_ENCODER, *ample, "--explain", *place
    )
    assert "rerank " in shown.out
    short = ("--rerank-budget-ms", 0.001)
    shown = trine("search", "open file", "--rerank", TINY_CROSS_ENCODER, *short, *place)
    assert "not re-ranked: 0.001 ms were too few" in shown.out
    for model in (tmp_path, TINY_BERT, "nowhere"):
        assert "re-ranker" in failed(trine("search", "file", "--rerank", model, *place))
        serving = trine("serve", "--rerank", model, *place)
        assert serving.status in {1, 2}
        assert str(model) in serving.err


def test_search_says_what_it_took_for_a_misspelling(trine: Trine, library_data_dir: Path) -> None:
    place = ("--data-dir", library_data_dir)
    told = trine("search", "tempoary", "folder", *place)
    assert told.out.startswith("Did you mean: temporary folder")
    as_typed = trine("search", "tempoary", "folder", "--no-correction", *place)
    assert "Did you mean" not in as_typed.out
    assert trine("search", "tempoary", "--json", *place).value["did_you_mean"] == "temporary"


@pytest.mark.parametrize(
    "query",
    [
        "the of and",
        "??? !!!",
        "🔥🎉",
        "مرحبا بالعالم",
        "שלום עולם",
        "a" * MAX_QUERY_CHARACTERS,
        "\udcff",
        "[/b] [red]x :smile:",
        'unbalanced " quote',
        "\x1b[31mred",
    ],
)
def test_odd_queries_are_answered(trine: Trine, library_data_dir: Path, query: str) -> None:
    told = trine("search", query, "--json", "--data-dir", library_data_dir)
    assert (told.status, told.err) == (0, "")
    # A byte that is no UTF-8 is asked for as the character that stands for such.
    assert told.value["query"] == query.replace("\udcff", "\ufffd")
    shown = trine("search", query, "--data-dir", library_data_dir)
    assert (shown.status, shown.err) == (0, "")
    assert " match in " in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "empty"),
        (["  \t "], "empty"),
        (["a" * (MAX_QUERY_CHARACTERS + 1)], "10,000|10000"),
        (["x", "-k", "0"], "k"),
        (["x", "-k", "1000000"], "k"),
        (["x", "-k", "-1"], "k"),
        (["x", "--page", "0"], "page"),
        (["x", "--filter", "nothing:1"], "there is no field 'nothing'"),
        (["x", "--filter", "subject:"], "cannot be read"),
        (["x", "--facets", "nothing"], "there is no field 'nothing'"),
        (["x", "--sort", "nothing"], "there is no field 'nothing'"),
        (["x", "--signals", "bm26"], "bm26"),
        (["x", "--signals", ""], "signal"),
        (["x", "--weights", "bm25"], "name:number"),
        (["x", "--weights", "bm25:-1"], "weight"),
        (["x", "--min-probability", "7"], "min_probability"),
        (["x", "--collection", "nothing"], "no collection 'nothing'"),
        (["x", "--collection", "../x"], "not allowed"),
        (["x", "--version", "nothing"], "no version 'nothing'"),
        (["x", "--version", "../x"], "no version '../x'"),
    ],
)
def test_searches_that_make_no_sense(
    trine: Trine, library_data_dir: Path, arguments: list[str], message: str
) -> None:
    told = trine("search", *arguments, "--data-dir", library_data_dir)
    line = failed(told)
    assert any(part in line for part in message.split("|"))
    assert len(line) < 400
    as_json = trine("search", *arguments, "--json", "--data-dir", library_data_dir)
    assert as_json.value == {"error": line.removeprefix("trine: ")}


# ---- the data folder ----------------------------------------------------------------------

COMMANDS = [
    ["search", "x"],
    ["versions"],
    ["versions", "list"],
    ["versions", "verify"],
    ["versions", "activate", "x"],
    ["versions", "diff", "x", "y"],
    ["delete", "x"],
    ["collections", "delete", "default", "--yes"],
    ["collections", "rename", "default", "other"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_data_folder_that_is_not_there(trine: Trine, tmp_path: Path, command: list[str]) -> None:
    missing = tmp_path / "missing"
    assert "no " in failed(trine(*command, "--data-dir", missing))
    assert not missing.exists()
    assert trine("collections", "list", "--json", "--data-dir", missing).value == []


@pytest.mark.parametrize("command", [*COMMANDS, ["collections"], ["versions", "prune"]])
def test_a_data_folder_that_is_a_file(
    trine: Trine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    assert trine(*command, "--data-dir", path).status == 2
    monkeypatch.setenv("TRINE_DATA_DIR", str(path))
    failed(trine(*command))
    assert path.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("command", [*COMMANDS, ["collections"], ["index", __file__]])
def test_a_data_folder_without_rights(
    trine: Trine, copied_data_dir: Path, command: list[str]
) -> None:
    copied_data_dir.chmod(0)
    try:
        assert "Permission denied" in failed(trine(*command, "--data-dir", copied_data_dir))
    finally:
        copied_data_dir.chmod(0o700)


def test_a_half_deleted_version_is_named_and_another_serves(
    trine: Trine, library_folder: CollectionFolder
) -> None:
    place = ("--data-dir", library_folder.data_dir)
    broken = library_folder.current()
    whole = f"{broken}-copy"
    shutil.copytree(library_folder.version_path(broken), library_folder.versions_path / whole)
    for lost in ("bert/vectors.faiss", "bm25", "documents.sqlite", "manifest.json"):
        path = library_folder.version_path(broken) / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert "versions list" in failed(trine("search", "file", *place))
        verified = trine("versions", "verify", "--json", *place)
        assert verified.status == 1
        assert [bool(entry["problems"]) for entry in verified.value] == [True, False]
        assert broken in verified.err
        listed = trine("versions", "list", "--json", *place)
        assert [entry["version"] for entry in listed.value] == [broken, whole]
        assert trine("versions", *place).status == 0
        assert trine("collections", *place).status == 0
        failed(trine("versions", "activate", broken, *place))
    activated = trine("versions", "activate", whole, "--json", *place)
    assert activated.value == {"collection": "default", "version": whole, "previous": broken}
    assert trine("search", "file", *place).status == 0
    assert trine("versions", "verify", whole, *place).status == 0


@pytest.mark.parametrize("content", [None, "", "gone\n", "../default", "\udcff"])
def test_current_astray_can_be_mended(
    trine: Trine, library_folder: CollectionFolder, content: str | None
) -> None:
    place = ("--data-dir", library_folder.data_dir)
    version = library_folder.current()
    path = library_folder.path / "CURRENT"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    line = failed(trine("search", "file", *place))
    assert "trine versions list" in line
    # What the message says works.
    (entry,) = trine("versions", "list", "--json", *place).value
    assert (entry["version"], entry["current"]) == (version, False)
    assert trine("versions", "verify", *place).status == 0
    assert trine("versions", "activate", version, *place).status == 0
    assert trine("search", "file", *place).status == 0


# ---- versions and collections -------------------------------------------------------------


def test_options_may_stand_before_a_sub_command(trine: Trine, library_data_dir: Path) -> None:
    place = ("--data-dir", library_data_dir, "--json")
    expected = trine("versions", "list", *place).value
    assert len(expected) == 1
    assert expected[0]["signals"].keys() == {"bm25", "tfidf", "word2vec", "bert"}
    assert trine("versions", *place).value == expected
    assert trine("versions", *place, "list").value == expected
    assert trine("versions", *place, "--collection", "nothing", "list").status == 1
    assert trine("versions", "--collection", "nothing", "list", *place).status == 1
    (entry,) = trine("collections", *place).value
    assert (entry["collection"], entry["documents"]) == ("default", 65)


def test_prune(trine: Trine, library_folder: CollectionFolder) -> None:
    place = ("--data-dir", library_folder.data_dir)
    current = library_folder.current()
    older = [f"2000010{n}T000000Z" for n in (1, 2, 3, 4)]
    for name in older:
        shutil.copytree(library_folder.version_path(current), library_folder.versions_path / name)
    assert trine("versions", "prune", "--json", *place).value == {
        "removed": older[:2],
        "open": [],
    }
    told = trine("versions", "prune", "--keep", "1", *place)
    assert told.out == "removed 2 versions\n"
    assert library_folder.versions() == [current]


def test_rename_and_delete_a_collection(trine: Trine, library_folder: CollectionFolder) -> None:
    place = ("--data-dir", library_folder.data_dir)
    renamed = trine("collections", "rename", "default", "other", "--json", *place)
    assert renamed.value == {"collection": "other", "previous": "default"}
    answer = trine("search", "file", "--json", "--collection", "other", *place).value
    assert answer["collection"] == "other"
    assert answer["hits"]
    assert "already" in failed(trine("collections", "rename", "other", "other", *place))
    assert "not allowed" in failed(trine("collections", "rename", "other", "a/b", *place))
    assert "state" in failed(trine("collections", "delete", "state", "--yes", *place))
    deleted = trine("collections", "delete", "other", "--yes", "--json", *place)
    assert deleted.value == {"deleted": "other"}
    assert not (library_folder.data_dir / "other").exists()


def test_a_folder_that_is_no_collection_is_never_deleted(trine: Trine, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"mine")
    for command in (["delete", "photos", "--yes"], ["rename", "photos", "x"]):
        failed(trine("collections", *command, "--data-dir", tmp_path))
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"mine"


def test_deleting_asks_first(
    trine: Trine, library_folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answered in (False, True):
        monkeypatch.setattr("click.confirm", lambda *_, answer=answered, **__: answer)
        told = trine("collections", "delete", "default", "--data-dir", library_folder.data_dir)
        assert told.status == (0 if answered else 1)
        assert library_folder.exists() is not answered


def test_deleting_documents(trine: Trine, library_folder: CollectionFolder) -> None:
    place = ("--data-dir", library_folder.data_dir)
    before = library_folder.current()
    assert "no document 'nothing'" in failed(trine("delete", "long", "nothing", *place))
    every = [
        hit["doc_id"] for hit in trine("search", "file", "-k99", "--json", *place).value["hits"]
    ]
    assert "collections delete" in failed(trine("delete", *every, *place))
    assert library_folder.versions() == [before]
    told = trine("delete", "long", "long", "ünï/cødé?x=1&y#2 %20", "--json", *place)
    assert (told.status, told.value["removed"]) == (0, 2)
    assert told.value["version"] == library_folder.current()
    assert "no document 'long'" in failed(trine("delete", "long", *place))


def test_a_locked_collection_names_its_writer(
    trine: Trine, library_folder: CollectionFolder, notes: Path
) -> None:
    place = ("--data-dir", library_folder.data_dir)
    version = library_folder.current()
    with library_folder.writing():
        for command in (
            ["index", notes],
            ["delete", "long"],
            ["versions", "prune"],
            ["versions", "activate", version],
            ["collections", "rename", "default", "x"],
            ["collections", "delete", "default", "--yes"],
        ):
            assert f"process {os.getpid()}" in failed(trine(*command, *place))
        # Readers never wait.
        assert trine("search", "file", *place).status == 0
    assert library_folder.current() == version


def test_a_mistake_of_ours_is_one_line_too(
    trine: Trine, library_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise IndexError("two\nlines")

    monkeypatch.setattr(Searcher, "search", fail)
    told = trine("search", "x", "--data-dir", library_data_dir)
    assert told.status == 1
    assert told.err.count("\n") == 1
    assert "unexpected IndexError: two lines" in told.err
    monkeypatch.setenv("TRINE_TRACEBACK", "1")
    with pytest.raises(IndexError):
        main(["search", "x", "--data-dir", str(library_data_dir)])
