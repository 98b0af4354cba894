"""The manifest: what a version is made of, and how to tell that it still is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath

from ingest.errors import IndexCorruptError, IndexVersionError

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "Manifest",
    "SignalRecord",
    "file_sha256",
    "hash_files",
    "read_manifest",
    "verify_files",
    "write_manifest",
]

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"


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
    format_version: int = FORMAT_VERSION

    @property
    def synonyms(self) -> Mapping[str, list[str]]:
        """Words as a query may hold them -> what else to look for."""
        known = self.settings.get("synonyms")
        return known if isinstance(known, dict) else {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path) -> tuple[dict[str, str], int]:
    """Hash every file below a version's folder, the manifest excepted.

    Returns
    -------
    (path -> sha256, total bytes)
        Paths with forward slashes, relative to the folder, sorted.
    """
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME
    )
    hashes = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    return hashes, sum(path.stat().st_size for path in paths)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into its version's folder."""
    # ASCII, so that a source whose name is not UTF-8 comes back as it was.
    text = json.dumps(asdict(manifest), indent=1)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check a version's manifest.

    Raises
    ------
    IndexCorruptError
        If it is missing, is not JSON, lacks a field, or names a path outside the folder.
    IndexVersionError
        If its format version is not the one this release reads.
    """
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IndexCorruptError(
            f"{path} is missing: this version is incomplete; "
            "activate another (trine versions list) or rebuild (trine reindex --full)"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise IndexCorruptError(f"{path} does not hold a JSON object")
    found = content.get("format_version")
    if found != FORMAT_VERSION:
        raise IndexVersionError(
            f"{folder.name} is written in format {found!r}; this release reads format "
            f"{FORMAT_VERSION}: rebuild it with trine reindex --full"
        )
    return _manifest_from(content, path)


def _manifest_from(content: Mapping[str, object], path: Path) -> Manifest:
    known = {entry.name for entry in fields(Manifest)}
    try:
        values = {key: value for key, value in content.items() if key in known}
        records = values["signals"]
        if not isinstance(records, dict):
            raise TypeError("signals is not an object")
        values["signals"] = {name: SignalRecord(**record) for name, record in records.items()}
        manifest = Manifest(**values)  # type: ignore[arg-type]
        _check_kinds(manifest)
    except (KeyError, TypeError) as error:
        raise IndexCorruptError(f"{path} is not a manifest: {error}") from error
    for name in manifest.files:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in name:
            raise IndexCorruptError(f"{path} names a file outside its folder: {name!r}")
    return manifest


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
        "total_bytes": int,
        "parent": (str, type(None)),
        "languages": list,
    }
    for name, kind in kinds.items():
        if not isinstance(getattr(manifest, name), kind):
            raise TypeError(f"{name} is {getattr(manifest, name)!r:.40}")
    if not all(isinstance(code, str) for code in manifest.languages):
        raise TypeError(f"languages is {manifest.languages!r:.40}")
    for words, others in manifest.synonyms.items():
        if not (isinstance(others, list) and all(isinstance(other, str) for other in others)):
            raise TypeError(f"the synonyms of {words!r:.40} are no list of words")
    for record in manifest.signals.values():
        if record.rows not in {"documents", "passages"}:
            raise TypeError(f"rows is {record.rows!r:.40}")
        if not all(isinstance(count, int) for count in (record.n_rows, record.n_covered)):
            raise TypeError("the rows of a signal are no numbers")


def verify_files(folder: Path, manifest: Manifest, *, content: bool = True) -> list[str]:
    """Hold every file of a version against its manifest.

    Parameters
    ----------
    content
        Whether to hash the bytes, or only check that each file is there.

    Returns
    -------
    list of str
        One line a problem; empty when the version is whole.
    """
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif content and (found := file_sha256(path)) != expected:
            problems.append(f"{name} is altered: sha256 {found[:12]}, expected {expected[:12]}")
    return problems
