"""A version's folder: manifest, store, metadata columns, and publishing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.documents import Document
from ingest.errors import (
    DocumentNotFoundError,
    IndexCorruptError,
    IndexFolderError,
    IndexLockedError,
    IndexNotFoundError,
    IndexVersionError,
    QueryError,
    TrineError,
)
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.arrays import ArrayWriter
from pipeline.version.collection import CollectionFolder, list_collections, new_version_id
from pipeline.version.document_store import DocumentSpool, DocumentStore
from pipeline.version.manifest import (
    FORMAT_VERSION,
    file_sha256,
    read_manifest,
    verify_files,
    write_manifest,
)
from pipeline.version.metadata_columns import MetadataColumns, parse_date, write_metadata_columns
from pipeline.version.open_version import open_version

per_example = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def version(copied_data_dir: Path) -> Path:
    """A whole version that a test may break."""
    folder = CollectionFolder(copied_data_dir, "default")
    return folder.version_path(folder.current())


# ---- manifest -----------------------------------------------------------------------------


def test_a_manifest_comes_back_as_it_was_written(version: Path, tmp_path: Path) -> None:
    manifest = read_manifest(version)
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert list(manifest.signals) == ["bm25", "tfidf", "word2vec", "bert"]
    assert verify_files(version, manifest) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "JSON object"),
        ("[" * 100_000, "cannot be read"),
        ('{"format_version": 1}', "not a manifest"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_manifest_that_makes_no_sense(version: Path, content: str | None, message: str) -> None:
    path = version / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(IndexCorruptError, match=message) as caught:
        open_version(version)
    assert "\n" not in str(caught.value)


def altered(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("found", [0, FORMAT_VERSION + 1, "2", None])
def test_another_format_names_what_is_found_and_what_is_read(version: Path, found: object) -> None:
    altered(version, format_version=found)
    with pytest.raises(IndexVersionError, match=f"format {found!r}.*format {FORMAT_VERSION}"):
        open_version(version)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\x", ".."])
def test_a_manifest_that_points_outside_its_folder_is_refused(version: Path, name: str) -> None:
    altered(version, files={name: "0" * 64})
    with pytest.raises(IndexCorruptError, match="outside"):
        open_version(version)


@pytest.mark.parametrize(
    "fields",
    [
        {"files": ["a"]},
        {"signals": []},
        {"signals": {"bert": {}}},
        {"signals": {"bert": {"rows": "cells", "n_rows": 1, "n_covered": 1}}},
        {"signals": {"bert": {"rows": "passages", "n_rows": "x", "n_covered": 1}}},
        {"n_documents": "three"},
        {"settings": None},
        {"sources": "here"},
        {"version": 7},
    ],
)
def test_a_manifest_with_a_field_of_another_kind(version: Path, fields: dict[str, Any]) -> None:
    altered(version, **fields)
    with pytest.raises(IndexCorruptError, match="not a manifest"):
        open_version(version)


def test_verify_finds_every_altered_byte_and_opening_every_missing_file(version: Path) -> None:
    manifest = read_manifest(version)
    for name in manifest.files:
        path = version / name
        whole = path.read_bytes()
        if whole:
            middle = len(whole) // 2
            path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
            (problem,) = verify_files(version, manifest)
            assert problem.startswith(f"{name} is altered")
            with pytest.raises(IndexCorruptError, match="is damaged"):
                open_version(version, verify=True)
        path.unlink()
        with pytest.raises(IndexCorruptError, match=f"{name} is missing"):
            open_version(version)
        path.write_bytes(whole)
    assert verify_files(version, manifest) == []
    assert all(file_sha256(version / name) == digest for name, digest in manifest.files.items())


@pytest.mark.parametrize("damage", [lambda _: b"", lambda b: b[: len(b) // 2], lambda b: b[::-1]])
def test_a_damaged_file_is_a_clear_error_or_does_no_harm(
    version: Path, damage: Callable[[bytes], bytes]
) -> None:
    data_dir = version.parent.parent.parent
    for name in read_manifest(version).files:
        path = version / name
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        with contextlib.suppress(TrineError):
            searcher = Searcher.open(data_dir=data_dir)
            searcher.search(Query("open +file", facets=("subject",), filter="number:[1 TO 5]"))
        path.write_bytes(whole)
    assert Searcher.open(data_dir=data_dir, verify=True).search(Query("file")).hits


# ---- collection ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../x", "", ".", "..", ".hidden", "a/b", "a\\b", "-x", "a b", "x" * 101, "ü", "state"]
)
def test_names_no_collection_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(QueryError) as caught:
        CollectionFolder(tmp_path, name)
    assert caught.value.parameter == "collection"


def test_names_a_collection_may_have(tmp_path: Path) -> None:
    for name in ("a", "x" * 100, "evaluate-collections-scifact", "v1.2_b"):
        assert CollectionFolder(tmp_path, name).path.parent == tmp_path


def test_a_collection_that_is_not_there(tmp_path: Path) -> None:
    folder = CollectionFolder(tmp_path / "nowhere", "docs")
    with pytest.raises(IndexNotFoundError, match=r"trine index SOURCE\.\.\. --collection docs"):
        folder.current()
    assert folder.current_or_none() is None
    assert folder.versions() == []
    assert not folder.exists()
    assert list_collections(tmp_path / "nowhere") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexFolderError, match="cannot read"):
        list_collections(tmp_path / "file")


def test_version_ids_sort_by_time() -> None:
    made = [new_version_id() for _ in range(200)]
    assert [name.split("-")[0] for name in made] == sorted(name.split("-")[0] for name in made)
    assert len(set(made)) == len(made)


def three_versions(data_dir: Path) -> tuple[CollectionFolder, list[str]]:
    """The copied version and two more like it, the newest current."""
    folder = CollectionFolder(data_dir, "default")
    first = folder.current()
    names = [first, *(new_version_id() for _ in range(2))]
    for name in names[1:]:
        shutil.copytree(folder.version_path(first), folder.versions_path / name)
    folder.publish(names[-1])
    return folder, names


def test_publishing_rolls_back_and_forward(copied_data_dir: Path) -> None:
    folder, names = three_versions(copied_data_dir)
    assert folder.versions() == names
    for name in (names[0], names[2], names[1]):
        folder.publish(name)
        assert folder.current() == name
    with pytest.raises(IndexNotFoundError, match="no version 'gone'"):
        folder.publish("gone")
    assert folder.current() == names[1]
    assert len(list(folder.path.glob("CURRENT*"))) == 1


@pytest.mark.parametrize("version", ["../default", "", ".", "x.building", "x" * 300, "a\x00b"])
def test_version_ids_that_lead_nowhere(copied_data_dir: Path, version: str) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    (folder.versions_path / "x.building").mkdir()
    assert len(folder.versions()) == 1
    with pytest.raises(IndexNotFoundError):
        folder.version_path(version)


def test_prune_keeps_the_newest_and_always_the_current(copied_data_dir: Path) -> None:
    folder, names = three_versions(copied_data_dir)
    assert folder.prune() == []
    folder.publish(names[0])
    assert folder.prune(keep=1) == [names[1]]
    assert folder.versions() == [names[0], names[2]]
    assert folder.prune(keep=0) == []
    open_version(folder.version_path(folder.current()), verify=True)


def test_a_prune_that_is_stopped_leaves_no_half_version(
    copied_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, names = three_versions(copied_data_dir)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            folder.prune(keep=1)
    assert folder.versions() == names[1:]
    with folder.writing():
        pass
    assert not list(folder.path.rglob("*.building"))


def test_a_lost_current_says_what_to_do(copied_data_dir: Path) -> None:
    folder, names = three_versions(copied_data_dir)
    (folder.path / "CURRENT").unlink()
    with pytest.raises(IndexNotFoundError, match="trine versions activate"):
        folder.current()
    folder.publish(names[1])
    assert folder.current() == names[1]


def test_only_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = CollectionFolder(tmp_path, "default")
    with folder.writing():
        with pytest.raises(IndexLockedError, match=f"process {os.getpid()} .* since "):
            folder.writing().__enter__()
        (folder.path / "state" / "writer.json").write_text("damaged")
        with pytest.raises(IndexLockedError, match="another process"):
            folder.writing().__enter__()
        with CollectionFolder(tmp_path, "other").writing():
            pass
    with folder.writing():
        pass


def test_removing_a_collection_leaves_what_is_not_ours(copied_data_dir: Path) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    (folder.path / "notes.txt").write_text("mine")
    folder.remove()
    assert not folder.exists()
    assert [path.name for path in folder.path.iterdir()] == ["notes.txt"]


# ---- documents ----------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.one_of(
    texts,
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(texts, max_size=3),
)
documents = st.builds(
    Document,
    doc_id=texts.filter(bool),
    title=texts,
    text=texts,
    url=st.none() | texts,
    metadata=st.dictionaries(texts, values, max_size=3),
    names=st.lists(texts, max_size=3).map(tuple),
    page_starts=st.lists(st.integers(0, 20), max_size=3).map(tuple),
)


def stored(folder: Path, found: list[Document]) -> DocumentStore:
    folder.mkdir(exist_ok=True)
    (folder / "documents.sqlite").unlink(missing_ok=True)
    spool = DocumentSpool(folder)
    for document in found:
        spool.add(document)
    assert spool.finish() == len(found)
    return DocumentStore(folder)


@per_example
@given(st.lists(documents, max_size=8, unique_by=lambda document: document.doc_id))
def test_documents_come_back_as_they_were(tmp_path: Path, found: list[Document]) -> None:
    store = stored(tmp_path / "store", found)
    expected = sorted(found, key=lambda document: document.doc_id)
    rows = range(len(found))
    assert store.documents(rows) == expected
    assert store.documents(rows[::-1]) == expected[::-1]
    assert store.doc_ids(rows) == [document.doc_id for document in expected]
    assert [document for batch in store.iterate(3) for document in batch] == expected
    for row, document in enumerate(expected):
        assert store.row(document.doc_id) == row
        assert store.documents([row])[0].content_hash == document.content_hash
        for name in {document.doc_id, document.title, *document.names}:
            if name.strip():
                assert (row, True) in store.rows_named(f" {name} ")
                assert row in {found_row for found_row, _ in store.rows_named(name.upper().lower())}
    store.close()


def test_a_document_that_is_not_there(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", [Document("a", "", "x")])
    for doc_id in ("b", "", "A", "a ", "\ud800"):
        with pytest.raises(DocumentNotFoundError):
            store.row(doc_id)
    with pytest.raises(IndexCorruptError, match="document row 5"):
        store.documents([5])
    store.close()


def test_changes_are_counted(tmp_path: Path) -> None:
    old = stored(tmp_path / "a", [Document(name, "", name) for name in "abcd"])
    new = stored(
        tmp_path / "b", [Document("a", "", "a"), Document("b", "", "B"), Document("e", "", "e")]
    )
    change = new.compare(old).change
    assert (change.added, change.changed, change.removed, change.unchanged) == (1, 1, 2, 1)
    assert new.compare(None).change.added == 3
    assert old.corpus_hash() != new.corpus_hash()
    assert new.compare(new).change.unchanged == 3
    old.close()
    new.close()


@per_example
@given(st.data(), st.lists(documents, max_size=8, unique_by=lambda document: document.doc_id))
def test_rows_are_found_again_in_the_parent(
    tmp_path: Path, data: st.DataObject, found: list[Document]
) -> None:
    before = [
        replace(document, **data.draw(st.sampled_from([{}, {"text": "new"}, {"url": "new"}])))
        for document in found
        if data.draw(st.booleans())
    ]
    before.append(Document("gone\U0010ffff", "", "x"))
    old, new = stored(tmp_path / "old", before), stored(tmp_path / "new", found)
    comparison = new.compare(old)
    for row, document in enumerate(sorted(found, key=lambda document: document.doc_id)):
        own = [entry for entry in before if entry.doc_id == document.doc_id]
        same = [entry for entry in own if entry.content_hash == document.content_hash]
        alike = [
            entry for entry in own if (entry.title, entry.text) == (document.title, document.text)
        ]
        assert comparison.unchanged[row] == (old.row(document.doc_id) if same else -1)
        assert comparison.same_text[row] == (old.row(document.doc_id) if alike else -1)
    n_kept = len({entry.doc_id for entry in before} & {entry.doc_id for entry in found})
    assert comparison.change.removed == len(before) - n_kept
    assert comparison.change.added == len(found) - n_kept
    assert comparison.change.unchanged + comparison.change.changed == n_kept
    old.close()
    new.close()


# ---- arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", "<i4", "<i8"])
@pytest.mark.parametrize("lengths", [(), (0,), (5, 0, 3), (1000, 24)])
def test_an_array_written_in_pieces_is_the_array(
    tmp_path: Path, dtype: str, lengths: tuple[int, ...]
) -> None:
    pieces = [np.arange(length).astype(dtype) for length in lengths]
    whole = np.concatenate([np.zeros(0, dtype), *pieces])
    with ArrayWriter(tmp_path / "pieces.npy", dtype) as writer:
        for piece in pieces:
            writer.append(piece)
    np.save(tmp_path / "whole.npy", whole)
    assert (tmp_path / "pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


# ---- metadata -----------------------------------------------------------------------------

numbers = st.integers(-5, 5) | st.sampled_from([0.5, -2.5, 1e300])
dates = st.sampled_from(
    ["2011", "2011-02", "2011-02-03", "2011-02-03T10:00:00+02:00", "1999-12-31"]
)
labels = st.sampled_from(["a", "B", "b", "straße", "STRASSE", "ü", "", "a b", "1"])
columns = st.one_of(
    st.lists(st.none() | numbers | st.lists(numbers.map(str), max_size=3), min_size=1, max_size=12),
    st.lists(st.none() | dates | st.lists(dates, max_size=3), min_size=1, max_size=12),
    st.lists(
        st.none() | labels | st.booleans() | st.lists(labels, max_size=3), min_size=1, max_size=12
    ),
)


def scalars(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def meaning(values: list[list[str]]) -> Callable[[str], Any]:
    """How the values of a field compare: as numbers, as moments, or as folded words."""
    every = [value for found in values for value in found]

    def is_number(text: str) -> bool:
        try:
            return bool(np.isfinite(float(text)))
        except ValueError:
            return False

    if every and all(map(is_number, every)):
        return float
    if every and all(parse_date(value) is not None for value in every):
        return parse_date
    return str.casefold


@per_example
@given(columns, st.data())
def test_columns_agree_with_brute_force(
    tmp_path: Path, found: list[Any], data: st.DataObject
) -> None:
    metadata = [{} if value is None else {"field": value} for value in found]
    folder = tmp_path / "metadata"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    held = [scalars(value) for value in found]
    every = sorted({value for values in held for value in values})
    assert write_metadata_columns(folder, metadata, len(found)) == (["field"] if every else [])
    if not every:
        with pytest.raises(QueryError, match="no field"):
            MetadataColumns(folder).column("field")
        return
    column = MetadataColumns(folder).column("field")
    key = meaning(held)
    wanted = data.draw(st.sampled_from(every))
    assert column.equal_to(wanted).tolist() == [
        any(key(value) == key(wanted) for value in values) for values in held
    ]
    low, high = (data.draw(st.none() | st.sampled_from(every)) for _ in range(2))
    if high is None or len(high) > 10 or key is not parse_date:
        assert column.between(low, high).tolist() == [
            any(
                (low is None or key(value) >= key(low))
                and (high is None or key(value) <= key(high))
                for value in values
            )
            for values in held
        ]
    rows = sorted(data.draw(st.sets(st.integers(0, len(found) - 1))))
    counted = {
        value: sum(value in held[row] for row in rows)
        for value in every
        if any(value in held[row] for row in rows)
    }
    counts = column.counts(np.array(rows, np.int64))
    assert dict(counts) == counted
    assert [count for _, count in counts] == sorted(counted.values(), reverse=True)
    first = column.first_codes()
    for row, values in enumerate(held):
        assert (first[row] < 0) == (not values)
        if values:
            assert (
                key(column.values[first[row]]) == min(key(value) for value in values)
                or key is str.casefold
            )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("2011", "2011", [True, True, True, False]),
        ("2011-02", "2011-02", [False, True, True, False]),
        ("2011-02-03", "2011-02-03", [False, False, True, False]),
        (None, "2010", [False, False, False, False]),
        ("2012", None, [False, False, False, True]),
        ("2011-01-01T00:00:01", None, [False, True, True, True]),
    ],
)
def test_the_end_of_a_date_range_is_the_end_of_its_day_month_or_year(
    tmp_path: Path, low: str | None, high: str | None, expected: list[bool]
) -> None:
    dated = ["2011-01-01", "2011-02-28T23:59:59", "2011-02-03T23:59:59", "2012-01-01"]
    write_metadata_columns(tmp_path, [{"day": value} for value in dated], len(dated))
    assert MetadataColumns(tmp_path).column("day").between(low, high).tolist() == expected


def test_numbers_beyond_a_float_and_numbers_with_underscores_stay_apart(tmp_path: Path) -> None:
    exact = [2**53, 2**53 + 1, 2**63]
    write_metadata_columns(
        tmp_path, [{"number": value, "code": f"1_{value}"} for value in exact], len(exact)
    )
    found = MetadataColumns(tmp_path)
    for row, value in enumerate(exact):
        rows = found.column("number").equal_to(str(value))
        assert np.flatnonzero(rows).tolist() == [row]
    assert found.column("code").kind == "word"
