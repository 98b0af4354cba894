"""A backup gives the same answers back; a hostile one gives nothing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ingest.errors import (
    CorpusError,
    IndexCorruptError,
    IndexFolderError,
    IndexNotFoundError,
    IndexVersionError,
    QueryError,
    TrineError,
)
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.backup import back_up
from pipeline.version.collection import CollectionFolder, list_collections, new_version_id
from pipeline.version.judgments import Judged, JudgmentFolder
from pipeline.version.manifest import read_manifest, verify_files, write_manifest
from pipeline.version.quality import Quality, read_quality, write_quality
from pipeline.version.restore import restore

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def folder(copied_data_dir: Path) -> CollectionFolder:
    return CollectionFolder(copied_data_dir, "default")


def answers(data_dir: Path, collection: str = "default") -> list[list[tuple[str, float]]]:
    searcher = Searcher.open(collection, data_dir=data_dir, verify=True)
    return [
        [(hit.doc_id, hit.score) for hit in searcher.search(Query(text)).hits]
        for text in ("open a file", "socket timeout", "quaternion")
    ]


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz"])
def test_a_restored_collection_answers_as_the_one_backed_up(
    folder: CollectionFolder, tmp_path: Path, name: str
) -> None:
    write_quality(folder, folder.current(), Quality("/judged", 0.5, 7, "2026-01-31"))
    summary = back_up(folder, tmp_path / name)
    assert summary.n_bytes == (tmp_path / name).stat().st_size
    restored = restore(tmp_path / name, tmp_path / "other")
    assert (restored.collection, restored.current) == ("default", folder.current())
    assert answers(tmp_path / "other") == answers(folder.data_dir)
    other = CollectionFolder(tmp_path / "other", "default")
    assert read_quality(other, other.current()) == Quality("/judged", 0.5, 7, "2026-01-31")
    assert sorted(path.name for path in other.versions_path.iterdir()) == [folder.current()]
    assert [path.name for path in tmp_path.glob(".b*")] == []


def test_all_versions_share_in_a_backup_what_they_share(
    folder: CollectionFolder, tmp_path: Path
) -> None:
    first = folder.current()
    path = folder.versions_path / new_version_id()
    shutil.copytree(folder.version_path(first), path)
    write_manifest(path, replace(read_manifest(path), version=path.name, parent=first))
    one = back_up(folder, tmp_path / "one.tar")
    both = back_up(folder, tmp_path / "both.tar", all_versions=True)
    assert one.versions == [first]
    assert both.versions == [first, path.name]
    assert both.n_bytes < 1.2 * one.n_bytes
    restore(tmp_path / "both.tar", tmp_path / "other", name="again")
    again = CollectionFolder(tmp_path / "other", "again")
    assert again.versions() == both.versions
    assert again.current() == first
    for version in again.versions():
        assert verify_files(again.version_path(version), again.manifest(version)) == []


def test_an_existing_collection_is_never_overwritten_unasked(
    folder: CollectionFolder, tmp_path: Path
) -> None:
    old = folder.current()
    back_up(folder, tmp_path / "b.tar")
    newer = folder.versions_path / new_version_id()
    shutil.copytree(folder.version_path(old), newer)
    write_manifest(newer, replace(read_manifest(newer), version=newer.name))
    folder.publish(newer.name)
    with pytest.raises(IndexFolderError, match=r"--as.*--replace"):
        restore(tmp_path / "b.tar", folder.data_dir)
    assert folder.current() == newer.name
    # A damaged version of the same name is replaced; the others stay to be activated.
    (folder.version_path(old) / "documents.sqlite").write_bytes(b"damaged")
    restore(tmp_path / "b.tar", folder.data_dir, replace=True)
    assert folder.current() == old
    assert folder.versions() == [old, newer.name]
    assert verify_files(folder.version_path(old), folder.manifest(old)) == []
    with folder.writing():
        pass
    assert not list(folder.path.rglob("*.building"))


def test_no_backup_of_a_damaged_version(folder: CollectionFolder, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    back_up(folder, target)
    whole = target.read_bytes()
    path = folder.version_path(folder.current()) / "bert" / "vectors.faiss"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexCorruptError, match="altered: nothing was backed up"):
        back_up(folder, target)
    path.unlink()
    with pytest.raises(IndexCorruptError, match="missing: nothing was backed up"):
        back_up(folder, target)
    assert target.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir() if "b.tar" in entry.name] == ["b.tar.gz"]


def test_where_a_backup_cannot_be_written(folder: CollectionFolder, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match=r"ends in \.tar"):
        back_up(folder, tmp_path / "b.zip")
    with pytest.raises(IndexFolderError, match="cannot write"):
        back_up(folder, tmp_path / "nowhere" / "b.tar")
    with pytest.raises(IndexNotFoundError, match="no collection"):
        back_up(CollectionFolder(folder.data_dir, "nothing"), tmp_path / "b.tar")
    with pytest.raises(IndexFolderError, match="cannot read"):
        restore(tmp_path / "nothing.tar", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == []


def judgments(data_dir: Path, collection: str = "default") -> JudgmentFolder:
    return JudgmentFolder(CollectionFolder(data_dir, collection).judgments_path)


def test_judgments_come_back_and_give_way_to_those_that_are_there(
    folder: CollectionFolder, tmp_path: Path
) -> None:
    back_up(folder, tmp_path / "without.tar")
    judgments(folder.data_dir).judge("open a file", "a/ü b", 2)
    judgments(folder.data_dir).judge("socket", "c", 0)
    before = judgments(folder.data_dir).read()
    back_up(folder, tmp_path / "with.tar")
    restore(tmp_path / "with.tar", tmp_path / "other")
    assert judgments(tmp_path / "other").read() == before
    restore(tmp_path / "without.tar", tmp_path / "other", name="bare")
    assert judgments(tmp_path / "other", "bare").read() == Judged()
    assert not judgments(tmp_path / "other", "bare").path.exists()
    restore(tmp_path / "with.tar", tmp_path / "other", name="bare", replace=True)
    assert judgments(tmp_path / "other", "bare").read() == before
    # Whoever judged since keeps what they said, whatever the backup holds.
    judgments(folder.data_dir).judge("open a file", "a/ü b", None)
    judgments(folder.data_dir).judge("regex", "d", 1)
    for name in ("with.tar", "without.tar"):
        restore(tmp_path / name, folder.data_dir, replace=True)
        kept = judgments(folder.data_dir).read()
        assert sorted(kept.queries.values()) == ["regex", "socket"]
        assert kept.of_query("regex") == {"d": 1}
    qrels = judgments(folder.data_dir).path / "qrels" / "test.tsv"
    qrels.write_text("damaged by hand, as it were")
    restore(tmp_path / "with.tar", folder.data_dir, replace=True)
    assert qrels.read_text() == "damaged by hand, as it were"


def test_judgments_that_could_not_be_restored_are_not_backed_up(
    folder: CollectionFolder, tmp_path: Path
) -> None:
    judged = judgments(folder.data_dir)
    judged.judge("open a file", "a", 1)
    qrels = judged.path / "qrels" / "test.tsv"
    for damage in ("nonsense", qrels.read_text().replace("\t1", "\t99")):
        qrels.write_text(damage)
        with pytest.raises(CorpusError) as caught:
            back_up(folder, tmp_path / "b.tar")
        assert "\n" not in str(caught.value)
        assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == []


# ---- hostile archives ---------------------------------------------------------------------


def members_of(path: Path) -> Members:
    with tarfile.open(path) as archive:
        found = []
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found.append((member, content.read()))
        return found


def packed(path: Path, members: Members, **options: int) -> Path:
    with tarfile.open(path, "w", format=options.get("format", tarfile.GNU_FORMAT)) as archive:
        for member, content in members:
            if member.isreg():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def named(name: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    return member


def extra(member: tarfile.TarInfo, content: bytes = b"", at: int = 2) -> Callable[[Members], None]:
    return lambda members: members.insert(at, (member, content))


def edited(name: str, change: Callable[[bytes], bytes]) -> Callable[[Members], None]:
    def edit(members: Members) -> None:
        for position, (member, content) in enumerate(members):
            if member.name.endswith(name):
                members[position] = (member, change(content))

    return edit


def header(**fields: object) -> Callable[[Members], None]:
    return edited("backup.json", lambda raw: json.dumps({**json.loads(raw), **fields}).encode())


def outside(raw: bytes) -> bytes:
    content = json.loads(raw)
    content["files"]["../../../../evil"] = content["files"].pop("documents.sqlite")
    return json.dumps(content).encode()


def first_format(raw: bytes, **fields: object) -> bytes:
    content = {**json.loads(raw), "format_version": 1, **fields}
    del content["sealed"]
    return json.dumps(content).encode()


HOSTILE: dict[str, Callable[[Members], object]] = {
    "a path upwards": extra(named("../evil"), b"x"),
    "an absolute path": extra(named("/tmp/evil"), b"x"),  # noqa: S108
    "a file no manifest lists": extra(named("versions/x/evil"), b"x"),
    "a symbolic link": extra(named("versions", type=tarfile.SYMTYPE, linkname="/etc")),
    "a symbolic link first": extra(named("v", type=tarfile.SYMTYPE, linkname="/etc"), at=0),
    "a hard link": extra(named("evil", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "a device": extra(named("evil", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a pipe": extra(named("evil", type=tarfile.FIFOTYPE)),
    "a folder": extra(named("versions", type=tarfile.DIRTYPE)),
    "no header": lambda members: members.pop(0),
    "no manifest": lambda members: members.pop(1),
    "a file missing": lambda members: members.pop(),
    "a file twice": lambda members: members.append(members[-1]),
    "nothing": lambda members: members.clear(),
    "a header that is no JSON": edited("backup.json", lambda _: b"{"),
    "a header of another format": header(format=3),
    "a collection upwards": header(collection="../evil"),
    "a collection that is no name": header(collection=7),
    "a version upwards": header(versions=["../evil"], current="../evil"),
    "a current version it does not hold": header(current="20260101T000000.000000Z-000000"),
    "no versions": header(versions=[]),
    "a version twice": lambda members: header(versions=[json.loads(members[0][1])["current"]] * 2)(
        members
    ),
    "a manifest that points outside": edited("manifest.json", outside),
    "a manifest of another version": edited(
        "manifest.json", lambda raw: first_format(raw, version="x")
    ),
    "a manifest that lists itself": edited(
        "manifest.json", lambda raw: first_format(raw, files={"manifest.json": "0" * 64})
    ),
    "a manifest that lists itself in other words": edited(
        "manifest.json",
        lambda raw: first_format(
            raw, files={**json.loads(raw)["files"], "./manifest.json": "0" * 64}
        ),
    ),
    "more bytes than the manifest says": edited(
        "manifest.json", lambda raw: first_format(raw, total_bytes=1000)
    ),
    "more bytes than any disk": edited(
        "manifest.json", lambda raw: first_format(raw, total_bytes=10**18)
    ),
    "a manifest with a byte flipped": edited(
        "manifest.json", lambda raw: raw.replace(b'"documents"', b'"documentt"', 1)
    ),
    "a file with a byte flipped": edited(
        "vectors.faiss", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])
    ),
    "a file cut short": edited("documents.sqlite", lambda raw: raw[:-1]),
    "a report too large": extra(named("state/quality/x.json"), b" " * 10, at=3),
}


def with_judgments(content: bytes, **digest: object) -> Callable[[Members], None]:
    """Judgments as a stranger may have written them, their digest right unless told otherwise."""
    told = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **digest}

    def edit(members: Members) -> None:
        header(judgments=told)(members)
        members.insert(2, (named("state/judgments.zip"), content))

    return edit


def zipped(queries: str, qrels: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("queries.jsonl", queries)
        archive.writestr("qrels/test.tsv", qrels)
    return buffer.getvalue()


QUERY = '{"_id": "q", "text": "words"}\n'
JUDGED = zipped(QUERY, "q\td\t1\n")
HOSTILE |= {
    "judgments no header names": extra(named("state/judgments.zip"), JUDGED),
    "judgments missing": header(judgments={"bytes": 9, "sha256": "0" * 64}),
    "judgments described as nonsense": header(judgments={"bytes": -1, "sha256": 7}),
    "judgments altered": with_judgments(JUDGED, sha256="0" * 64),
    "judgments of another size": with_judgments(JUDGED, bytes=1),
    "judgments that are no zip file": with_judgments(b"judgments"),
    "judgments whose compression is broken": with_judgments(
        JUDGED.replace(JUDGED[44:52], b"\xff" * 8)
    ),
    "judgments without queries": with_judgments(zipped("", "q\td\t1\n")),
    "judgments beyond all levels": with_judgments(zipped(QUERY, "q\td\t99\n")),
    "a judged query without end": with_judgments(
        zipped(json.dumps({"_id": "q", "text": "x" * 10_001}), "q\td\t1\n")
    ),
    "a bomb of judgments": with_judgments(zipped(QUERY + " " * 60_000_000, "q\td\t1\n")),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_backup_leaves_nothing_behind(
    folder: CollectionFolder, tmp_path: Path, hostile: str
) -> None:
    back_up(folder, tmp_path / "b.tar")
    members = members_of(tmp_path / "b.tar")
    HOSTILE[hostile](members)
    path = packed(tmp_path / "hostile.tar", members)
    target = tmp_path / "deep" / "data"
    target.mkdir(parents=True)
    before = sorted(path for path in tmp_path.rglob("*") if "deep" not in path.parts)
    with pytest.raises((IndexFolderError, IndexVersionError)) as caught:
        restore(path, target)
    assert "\n" not in str(caught.value)
    assert list(target.rglob("*")) == []
    assert sorted(path for path in tmp_path.rglob("*") if "deep" not in path.parts) == before
    assert list_collections(target) == []


def test_a_bomb_is_refused_before_it_goes_off(folder: CollectionFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "b.tar")
    members = members_of(tmp_path / "b.tar")
    # An extended header of a gigabyte, which tarfile would read into memory; none of it is here.
    bomb = named("evil", type=tarfile.XHDTYPE, size=1 << 30)
    with tarfile.open(tmp_path / "bomb.tar", "w") as archive:
        for member, content in members[:2]:
            archive.addfile(member, io.BytesIO(content))
        archive.addfile(bomb)
    with pytest.raises(IndexCorruptError, match="no regular file"):
        restore(tmp_path / "bomb.tar", tmp_path / "other")
    large = named("backup.json", size=1 << 40)
    with tarfile.open(tmp_path / "large.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(large)
    with pytest.raises(IndexCorruptError, match="bytes large"):
        restore(tmp_path / "large.tar", tmp_path / "other")
    assert list((tmp_path / "other").rglob("*")) == []


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_a_backup_cut_short_or_altered_publishes_nothing(
    folder: CollectionFolder, tmp_path: Path, name: str
) -> None:
    back_up(folder, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for part in (0, 1, 511, 700, 2000, len(whole) // 2, len(whole) - 20_000):
        (tmp_path / "cut").write_bytes(whole[:part])
        with pytest.raises(IndexCorruptError) as caught:
            restore(tmp_path / "cut", tmp_path / "other")
        assert "\n" not in str(caught.value)
    for place in range(0, len(whole), len(whole) // 20):
        altered = bytearray(whole)
        altered[place] ^= 1
        (tmp_path / "altered").write_bytes(altered)
        try:
            restore(tmp_path / "altered", tmp_path / "other", name=f"r{place}")
        except TrineError:
            assert not (tmp_path / "other" / f"r{place}").exists()
        else:
            # A byte that means nothing, such as a member's date.
            assert answers(tmp_path / "other", f"r{place}") == answers(folder.data_dir)


def test_a_name_no_collection_may_have(folder: CollectionFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "b.tar")
    for name in ("../x", "state", "a/b"):
        with pytest.raises(QueryError):
            restore(tmp_path / "b.tar", tmp_path / "other", name=name)
    assert not (tmp_path / "other").exists()


def test_a_restore_that_was_killed_is_no_collection_and_does_not_stand_in_the_way(
    folder: CollectionFolder, tmp_path: Path
) -> None:
    back_up(folder, tmp_path / "b.tar")
    # What kill -9 leaves: a version half built, nothing published, who was writing.
    other = CollectionFolder(tmp_path / "other", "default")
    half = other.begin_version(folder.current())
    (half / "documents.sqlite").write_bytes(b"half")
    (other.path / "state").mkdir()
    (other.path / "state" / "writer.json").write_text('{"pid": 1, "command": "x", "since": "y"}')
    assert list_collections(tmp_path / "other") == []
    restore(tmp_path / "b.tar", tmp_path / "other")
    assert answers(tmp_path / "other") == answers(folder.data_dir)
    assert not list(other.path.rglob("*.building"))


def test_a_restore_that_is_stopped_leaves_nothing(folder: CollectionFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "b.tar")

    def stopped(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "b.tar", tmp_path / "other", progress=stopped)
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == []
    assert not (tmp_path / "other" / "default").exists()


def test_a_full_disk_is_told_before_anything_is_written(
    folder: CollectionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(folder, tmp_path / "b.tar")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(IndexFolderError, match="only 0 are free"):
        restore(tmp_path / "b.tar", tmp_path / "other")
    assert list((tmp_path / "other").rglob("*")) == []
