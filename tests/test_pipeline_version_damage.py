"""One byte flipped, or one file gone, anywhere in a version: found, and never served.

``make test`` flips one byte of each file, ``make soak`` several.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fork_server
import pytest
from fork_server import SCRIPT

from ingest.errors import IndexCorruptError, IndexVersionError, TrineError
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.checksums import file_crc32, file_sha256
from pipeline.version.collection import CollectionFolder, new_version_id
from pipeline.version.manifest import (
    FORMAT_VERSION,
    read_manifest,
    unlisted_files,
    verify_files,
    write_manifest,
)
from pipeline.version.open_version import open_version
from search_api.searchers import SearcherPool


@pytest.fixture
def folder(copied_data_dir: Path) -> CollectionFolder:
    return CollectionFolder(copied_data_dir, "default")


@pytest.fixture
def version(folder: CollectionFolder) -> Path:
    return folder.version_path(folder.current())


def second_version(folder: CollectionFolder) -> Path:
    """A version beside the current one, whole and the same but for its id."""
    name = new_version_id()
    path = folder.versions_path / name
    shutil.copytree(folder.version_path(folder.current()), path)
    write_manifest(path, replace(read_manifest(path), version=name))
    return path


def as_first_format(version: Path) -> None:
    """Write the manifest as the first releases did: no seal, no CRC-32."""
    path = version / "manifest.json"
    content = json.loads(path.read_text())
    del content["sealed"], content["crc32"]
    path.write_text(json.dumps({**content, "format_version": 1}, indent=1))


# Bytes of each file that are flipped.
FLIPS = pytest.mark.parametrize("n_flips", [1, pytest.param(4, marks=pytest.mark.soak, id="soak")])


def damages(version: Path, seed: int, n_flips: int) -> Iterator[str]:
    """Damage every file of a version in turn: bytes flipped here and there, then the file gone."""
    drawn = random.Random(seed)  # noqa: S311
    for name in [*read_manifest(version).files, "manifest.json"]:
        path = version / name
        whole = path.read_bytes()
        inside = [drawn.randrange(len(whole)) for _ in range(2) if whole]
        places = [0, len(whole) - 1, *inside] if whole else []
        for place in sorted(set(drawn.sample(places, min(n_flips, len(places))))):
            altered = bytearray(whole)
            altered[place] ^= 1 << drawn.randrange(8)
            path.write_bytes(altered)
            yield f"{name}, byte {place}"
        if whole:
            path.write_bytes(whole[:-1])
            yield f"{name}, its last byte missing"
        path.unlink()
        yield f"{name}, missing"
        path.write_bytes(whole)


def found_by(version: Path) -> list[str]:
    """Who finds the damage: `trine versions verify`, and a first opening."""
    found = []
    try:
        if verify_files(version, read_manifest(version)):
            found.append("verify")
    except TrineError:
        found.append("verify")
    try:
        open_version(version, verify=True)
    except TrineError as error:
        found.append("opening" if "\n" not in str(error) else str(error))
    return found


@FLIPS
def test_any_damage_is_found_by_verify_and_by_opening(version: Path, n_flips: int) -> None:
    missed = {
        damage: found
        for damage in damages(version, 1, n_flips)
        if len(found := found_by(version)) < 2
    }
    assert missed == {}
    assert found_by(version) == []


@FLIPS
def test_any_damage_to_a_version_of_the_first_format_is_found(version: Path, n_flips: int) -> None:
    as_first_format(version)
    for damage in damages(version, 2, n_flips):
        # That format's manifest tells nothing of itself.
        if not damage.startswith("manifest.json"):
            assert found_by(version) == ["verify", "opening"], damage


@FLIPS
def test_a_damaged_version_is_never_served(
    folder: CollectionFolder, caplog: pytest.LogCaptureFixture, n_flips: int
) -> None:
    old = folder.current()
    other = second_version(folder)
    pool = SearcherPool(folder.data_dir, "default")
    before = pool.get()
    folder.publish(other.name)
    caplog.set_level(logging.CRITICAL)
    for damage in damages(other, 3, n_flips):
        pool._refused.clear()
        pool.refresh()
        assert pool.get() is before, damage
        with pytest.raises(TrineError):
            SearcherPool(folder.data_dir, "default").get()
    assert before.version == old
    assert before.search(Query("file")).hits
    pool._refused.clear()
    pool.refresh()
    assert pool.get().version == other.name


@FLIPS
def test_a_byte_flipped_behind_a_searchers_back_is_one_clear_error_or_no_harm(
    version: Path, n_flips: int
) -> None:
    asked = [
        Query("open +file", facets=("subject", "number"), filter="number:[1 TO 5]"),
        Query("opne a fiel", sort="number:desc", explain_words=True),
        Query('"timezone" duration', collapse=True, diversity=0.3),
    ]
    data_dir = version.parents[2]
    names = [name for name in read_manifest(version).files if name.endswith((".npy", ".json"))]
    drawn = random.Random(4)  # noqa: S311
    for name in names:
        path = version / name
        whole = path.read_bytes()
        for _ in range(n_flips):
            altered = bytearray(whole)
            altered[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
            path.write_bytes(altered)
            with contextlib.suppress(TrineError):
                searcher = Searcher.open(data_dir=data_dir)
                for query in asked:
                    searcher.search(query)
        path.write_bytes(whole)


def test_a_file_cut_short_is_found_without_reading_it(version: Path) -> None:
    path = version / "documents.sqlite"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(IndexCorruptError, match="bytes, expected"):
        open_version(version)


# ---- links --------------------------------------------------------------------------------


def test_a_link_out_of_a_version_is_refused(version: Path, tmp_path: Path) -> None:
    manifest = read_manifest(version)
    for name in ("documents.sqlite", "bm25/meta.json", "bert/encoder/settings.json"):
        path = version / name
        outside = tmp_path / path.name
        path.rename(outside)
        path.symlink_to(outside)
        for check in ("size", "crc32", "sha256"):
            (problem,) = verify_files(version, manifest, check=check)
            assert problem == f"{name} is reached through a link, which a version never holds"
        with pytest.raises(IndexCorruptError, match="through a link"):
            open_version(version)
        path.unlink()
        # A second name of the same bytes is no way out.
        os.link(outside, path)
        open_version(version, verify=True)


def test_a_linked_folder_and_a_pipe_are_refused(version: Path, tmp_path: Path) -> None:
    (version / "bm25").rename(tmp_path / "bm25")
    (version / "bm25").symlink_to(tmp_path / "bm25")
    with pytest.raises(IndexCorruptError, match="through a link"):
        open_version(version)
    (version / "bm25").unlink()
    (tmp_path / "bm25").rename(version / "bm25")
    (version / "documents.sqlite").unlink()
    os.mkfifo(version / "documents.sqlite")
    with pytest.raises(IndexCorruptError, match="is no file"):
        open_version(version)
    (version / "manifest.json").unlink()
    os.mkfifo(version / "manifest.json")
    with pytest.raises(IndexCorruptError):
        open_version(version)


def test_a_version_folder_that_is_itself_a_link_is_the_operators_choice(
    version: Path, tmp_path: Path
) -> None:
    version.rename(tmp_path / "elsewhere")
    version.symlink_to(tmp_path / "elsewhere")
    open_version(version, verify=True)


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "./../x", "bm25/../../x"])
def test_names_no_file_system_has_are_refused(version: Path, name: str) -> None:
    manifest = read_manifest(version)
    content = json.loads((version / "manifest.json").read_text())
    content["files"] = {**manifest.files, name: "0" * 64}
    (version / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(IndexCorruptError, match="outside its folder"):
        read_manifest(version)


# ---- formats ------------------------------------------------------------------------------


def test_a_version_of_the_first_format_is_read_and_its_child_is_of_this_one(version: Path) -> None:
    as_first_format(version)
    manifest = read_manifest(version)
    assert manifest.format_version == 1
    assert manifest.crc32 == {}
    assert Searcher.open(data_dir=version.parents[2], verify=True).search(Query("file")).hits
    write_manifest(version, manifest)
    assert read_manifest(version).format_version == FORMAT_VERSION
    assert found_by(version) == []


def test_a_newer_format_says_which_release_reads_it(version: Path) -> None:
    path = version / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": FORMAT_VERSION + 1}))
    with pytest.raises(IndexVersionError, match="install the release that wrote it, or rebuild"):
        open_version(version)


def test_taking_the_seal_off_does_not_unseal(version: Path) -> None:
    path = version / "manifest.json"
    content = json.loads(path.read_text())
    del content["sealed"]
    path.write_text(json.dumps(content))
    with pytest.raises(IndexCorruptError, match="is altered"):
        read_manifest(version)


def test_files_the_manifest_does_not_know_are_told_and_do_no_harm(version: Path) -> None:
    manifest = read_manifest(version)
    assert unlisted_files(version, manifest) == []
    (version / "bm25" / "notes.txt").write_text("mine")
    (version / "bert" / "manifest.json").write_text("{}")
    assert unlisted_files(version, manifest) == ["bert/manifest.json", "bm25/notes.txt"]
    open_version(version, verify=True)


LOADER = """
import sys
def refuse(event, arguments):
    if event in {"exec", "compile", "import", "pickle.find_class", "subprocess.Popen", "os.system"}:
        source = str(arguments[1] if event == "import" else arguments)
        if sys.argv[1] in source:
            print("RUNS", event, source)
sys.addaudithook(refuse)
from pathlib import Path
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
print(len(Searcher.open(data_dir=Path(sys.argv[1])).search(Query("file")).hits))
"""


def test_loading_a_version_runs_nothing_from_it(version: Path) -> None:
    for name in ("sitecustomize.py", "bert/encoder/modeling.py", "conftest.py"):
        (version / name).write_text("print('RUNS', __file__)")
    told = fork_server.run(LOADER, version.parents[2], function=SCRIPT)
    assert (told.returncode, told.stdout) == (0, "10\n"), told.stderr


def test_checksums_are_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "nine"
    path.write_bytes(b"123456789")
    # The check value every table of CRCs gives for CRC-32.
    assert file_crc32(path) == "cbf43926"
    assert file_sha256(path).startswith("15e2b0d3c33891ebb0f1ef609ec419420c20e320")
