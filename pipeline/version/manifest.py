"""The manifest: what a version is made of, and how to tell that it still is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from ingest.errors import IndexCorruptError, IndexVersionError
from pipeline.version import checksums
from pipeline.version.checksums import file_sha256

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "Check",
    "Fit",
    "Manifest",
    "SignalRecord",
    "file_sha256",
    "hash_files",
    "parse_manifest",
    "read_manifest",
    "unlisted_files",
    "verify_files",
    "write_manifest",
]

# 1: no seal, and no CRC-32; otherwise the same, so it is read as it is.
FORMAT_VERSION = 2
_READABLE = (1, 2)
_SEALED_SINCE = 2
MANIFEST_NAME = "manifest.json"
Check: TypeAlias = Literal["sha256", "crc32", "size"]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a signal's encoder was fitted on, and how far the documents have moved since: its drift.

    Parameters
    ----------
    version
        The version whose documents it was fitted on.
    n_documents
        How many those were.
    unknown_at_fit
        Share of their words that fitting left unknown (too rare ones), in [0, 1].
    unknown_words
        By how much the share of words unknown to the encoder has grown since, in [0, 1].
    changed_documents
        Share of the documents, then or now, whichever are more, that are not in both, in [0, 1].
    """

    version: str
    n_documents: int
    unknown_at_fit: float
    unknown_words: float = 0.0
    changed_documents: float = 0.0


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """What a version holds of one signal.

    Parameters
    ----------
    rows
        ``"documents"`` or ``"passages"``: which row space its vectors or postings live in.
    n_rows
        Rows in that space.
    n_covered
        Rows the signal has something for; it abstains for the rest.
    encoder_fingerprint
        Fingerprint of the encoder that made the embeddings; ``None`` for ``bm25``.
    dimension
        Width of an embedding; ``None`` for ``bm25``.
    legibility
        How well the encoder reads the collection's language, in [0, 1]; 1 where that is no
        question.
    fit
        For an encoder that is fitted on documents, what it was fitted on and its drift.
    agreement
        How far the signal's nearest neighbours are those of another signal as well, beyond
        chance, in [0, 1]; 1 where it was not measured.
    """

    rows: str
    n_rows: int
    n_covered: int
    encoder_fingerprint: str | None = None
    dimension: int | None = None
    legibility: float = 1.0
    fit: Fit | None = None
    agreement: float = 1.0

    @property
    def coverage(self) -> float:
        """Share of rows the signal covers, in [0, 1]."""
        return self.n_covered / self.n_rows if self.n_rows else 0.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """One immutable version, described.

    Parameters
    ----------
    version, parent
        This version's id, and the id of the version it was built from.
    created
        When it was built: ISO 8601, UTC.
    sources
        What was given to ``trine index``, so that ``trine reindex`` can read it again.
    settings
        Everything that decides the content besides the documents.
    corpus_hash
        SHA-256 over (doc_id, content hash) of every document, in doc_id order.
    languages
        Languages the documents' words are stemmed in, the most frequent first.
    files
        Path inside the version's folder -> SHA-256, in hex.
    crc32
        SHA-256 of a file -> its CRC-32, in hex; ``write_manifest`` fills it in.
    """

    version: str
    collection: str
    created: str
    trine_version: str
    sources: list[str]
    settings: dict[str, object]
    corpus_hash: str
    n_documents: int
    n_passages: int
    signals: dict[str, SignalRecord]
    files: dict[str, str] = field(default_factory=dict)
    total_bytes: int = 0
    timings_s: dict[str, float] = field(default_factory=dict)
    parent: str | None = None
    languages: list[str] = field(default_factory=lambda: ["en"])
    crc32: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def synonyms(self) -> Mapping[str, list[str]]:
        """Words as a query may hold them -> what else to look for."""
        known = self.settings.get("synonyms")
        return known if isinstance(known, dict) else {}


def hash_files(folder: Path) -> tuple[dict[str, str], int]:
    """Hash every file below a version's folder, the manifest excepted.

    Returns
    -------
    (path -> sha256, total bytes)
        Paths with forward slashes, relative to the folder, sorted.
    """
    return checksums.hash_files(folder, without=MANIFEST_NAME)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into its version's folder, in this release's format, sealed.

    The CRC-32 of files it has none of yet is taken from the folder.
    """
    missing = {
        sha256: folder / name
        for name, sha256 in manifest.files.items()
        if sha256 not in manifest.crc32
    }
    taken = checksums.checksums_of(missing.values(), checksums.file_crc32)
    crc32 = {
        **{sha256: manifest.crc32[sha256] for sha256 in manifest.files.values() - missing.keys()},
        **{sha256: taken[path] for sha256, path in missing.items()},
    }
    content = asdict(replace(manifest, crc32=crc32, format_version=FORMAT_VERSION))
    # ASCII, so that a source whose name is not UTF-8 comes back as it was.
    rest = json.dumps(content, indent=1).removeprefix("{").encode() + b"\n"
    (folder / MANIFEST_NAME).write_bytes(_seal(rest) + rest)


def _seal(rest: bytes) -> bytes:
    """The first line of a manifest: an opening brace and the SHA-256 of all that follows."""
    return b'{"sealed": "%s",' % hashlib.sha256(rest).hexdigest().encode()


def read_manifest(folder: Path) -> Manifest:
    """Read and check a version's manifest.

    Raises
    ------
    IndexCorruptError
        If it is missing, altered, no JSON, lacks a field, or names a path outside the folder.
    IndexVersionError
        If its format version is none that this release reads.
    """
    path = folder / MANIFEST_NAME
    if path.is_fifo():
        # Reading it would wait for somebody to write.
        raise IndexCorruptError(f"{path} cannot be read: it is no file")
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IndexCorruptError(
            f"{path} is missing: this version is incomplete; "
            "activate another (trine versions list) or rebuild (trine reindex --full)"
        ) from error
    except OSError as error:
        raise IndexCorruptError(f"{path} cannot be read: {error.strerror}") from error
    return parse_manifest(raw, path)


def parse_manifest(raw: bytes, path: Path) -> Manifest:
    """Check the bytes of a manifest; ``path`` says in messages where they come from.

    Raises
    ------
    IndexCorruptError, IndexVersionError
        As ``read_manifest``.
    """
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise IndexCorruptError(f"{path} does not hold a JSON object")
    found = content.get("format_version")
    if found not in _READABLE or isinstance(found, bool):
        newer = isinstance(found, int) and found > FORMAT_VERSION
        raise IndexVersionError(
            f"{path.parent.name} is written in format {found!r}; this release reads format "
            f"{_READABLE[0]} to format {FORMAT_VERSION}: "
            + ("install the release that wrote it, or " if newer else "")
            + "rebuild it with trine reindex --full"
        )
    manifest = _manifest_from(content, path)
    seal = raw[: len(_seal(b""))]
    if (found >= _SEALED_SINCE or b"sealed" in seal) and seal != _seal(raw[len(seal) :]):
        raise IndexCorruptError(
            f"{path} is altered; activate another version (trine versions list) "
            "or rebuild (trine reindex --full)"
        )
    return manifest


def _manifest_from(content: Mapping[str, object], path: Path) -> Manifest:
    known = {entry.name for entry in fields(Manifest)}
    try:
        values = {key: value for key, value in content.items() if key in known}
        records = values["signals"]
        if not isinstance(records, dict):
            raise TypeError("signals is not an object")
        values["signals"] = {name: _record_from(record) for name, record in records.items()}
        manifest = Manifest(**values)  # type: ignore[arg-type]
        _check_kinds(manifest)
    except (KeyError, TypeError) as error:
        raise IndexCorruptError(f"{path} is not a manifest: {error}") from error
    for name in manifest.files:
        path_in = PurePosixPath(name)
        if path_in.is_absolute() or ".." in path_in.parts or "\\" in name or not _is_name(name):
            raise IndexCorruptError(f"{path} names a file outside its folder: {name!r}")
    return manifest


def _is_name(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _record_from(content: Mapping[str, Any]) -> SignalRecord:
    fit = content.get("fit")
    return SignalRecord(**{**content, "fit": None if fit is None else Fit(**fit)})


def _check_kinds(manifest: Manifest) -> None:
    """Raise TypeError where a field that others rely on is of another kind."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "version": str,
        "collection": str,
        "created": str,
        "sources": list,
        "settings": dict,
        "corpus_hash": str,
        "n_documents": int,
        "n_passages": int,
        "files": dict,
        "crc32": dict,
        "total_bytes": int,
        "parent": (str, type(None)),
        "languages": list,
    }
    for name, kind in kinds.items():
        if not isinstance(getattr(manifest, name), kind):
            raise TypeError(f"{name} is {getattr(manifest, name)!r:.40}")
    if not all(isinstance(sha256, str) for sha256 in manifest.files.values()):
        raise TypeError("a checksum in files is no text")
    if not all(isinstance(code, str) for code in manifest.languages):
        raise TypeError(f"languages is {manifest.languages!r:.40}")
    for words, others in manifest.synonyms.items():
        if not (isinstance(others, list) and all(isinstance(other, str) for other in others)):
            raise TypeError(f"the synonyms of {words!r:.40} are no list of words")
    for record in manifest.signals.values():
        _check_record(record)


def _check_record(record: SignalRecord) -> None:
    if record.rows not in {"documents", "passages"}:
        raise TypeError(f"rows is {record.rows!r:.40}")
    if not all(isinstance(count, int) for count in (record.n_rows, record.n_covered)):
        raise TypeError("the rows of a signal are no numbers")
    if record.fit is not None and not (
        isinstance(record.fit.version, str)
        and isinstance(record.fit.n_documents, int)
        and isinstance(record.fit.unknown_at_fit, int | float)
    ):
        raise TypeError(f"fit is {record.fit!r:.40}")


def verify_files(folder: Path, manifest: Manifest, *, check: Check = "sha256") -> list[str]:
    """Hold every file of a version against its manifest.

    Parameters
    ----------
    check
        ``"sha256"``: every byte; ``"crc32"``: every byte, five times as fast, enough against
        damage that nobody intends; ``"size"``: only that each file is there and none is cut.

    Returns
    -------
    list of str
        One line a problem; empty when the version is whole.
    """
    root = Path(os.path.realpath(folder))
    problems = {name: _problem_of(root, name) for name in manifest.files}
    sound = {name: root / name for name, problem in problems.items() if not problem}
    if check == "size":
        n_bytes = sum(path.stat().st_size for path in sound.values())
        if len(sound) == len(problems) and n_bytes != manifest.total_bytes:
            return [f"its files hold {n_bytes:,} bytes, expected {manifest.total_bytes:,}"]
    else:
        problems |= _altered(sound, manifest, check)
    return [f"{name} {problem}" for name, problem in problems.items() if problem]


def _problem_of(root: Path, name: str) -> str:
    path = root / name
    if not os.path.lexists(path):
        return "is missing"
    if os.path.realpath(path) != str(path):
        return "is reached through a link, which a version never holds"
    return "" if path.is_file() else "is no file"


def _altered(sound: Mapping[str, Path], manifest: Manifest, check: Check) -> dict[str, str]:
    """What each altered file's line says."""
    # A version of the first format knows only SHA-256.
    quick = {
        name: manifest.crc32[manifest.files[name]]
        for name in sound
        if check == "crc32" and manifest.files[name] in manifest.crc32
    }
    slow = {name: manifest.files[name] for name in sound if name not in quick}
    found = {}
    for kind, expected, checksum in (
        ("crc32", quick, checksums.file_crc32),
        ("sha256", slow, file_sha256),
    ):
        taken = checksums.checksums_of((sound[name] for name in expected), checksum)
        for name, wanted in expected.items():
            if (value := taken[sound[name]]) != wanted:
                found[name] = f"is altered: {kind} {value[:12]}, expected {wanted[:12]}"
    return found


def unlisted_files(folder: Path, manifest: Manifest) -> list[str]:
    """Files in a version's folder that its manifest does not know; nothing ever reads them."""
    known = {MANIFEST_NAME, *manifest.files}
    return [name for name in checksums.tree_files(folder) if name not in known]
