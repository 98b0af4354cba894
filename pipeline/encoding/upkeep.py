"""Looking after versions that are there: describe, check and activate them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.bert import BertEncoder
from ingest.errors import TrineError
from pipeline.encoding.verification import verify_version
from pipeline.version.collection import CollectionFolder
from pipeline.version.hold import hold_version
from pipeline.version.manifest import Manifest, read_manifest, unlisted_files, verify_files
from pipeline.version.open_version import open_version
from pipeline.version.quality import read_quality

__all__ = ["CheckedVersion", "activate_version", "check_version", "describe_version"]


@dataclass(frozen=True, slots=True)
class CheckedVersion:
    """What holding a version against its manifest found.

    Parameters
    ----------
    problems
        One line each; empty where the version is whole.
    unknown_files
        Not in the manifest, and never read.
    """

    version: str
    problems: list[str]
    unknown_files: list[str]


def describe_version(folder: CollectionFolder, version: str, current: str | None) -> dict[str, Any]:
    """Describe a version by its manifest, JSON-ready; an unreadable one by its error alone."""
    try:
        manifest = folder.manifest(version)
    except TrineError as error:
        return {"version": version, "current": version == current, "error": str(error)}
    quality = read_quality(folder, version)
    return {
        "version": version,
        "current": version == current,
        "created": manifest.created,
        "parent": manifest.parent,
        "documents": manifest.n_documents,
        "passages": manifest.n_passages,
        "signals": {
            name: {"coverage": record.coverage, "encoder_fingerprint": record.encoder_fingerprint}
            for name, record in manifest.signals.items()
        },
        "bytes": manifest.total_bytes,
        "own_bytes": _own_bytes(folder.version_path(version), manifest),
        "quality": None if quality is None else quality.to_json(),
    }


def _own_bytes(path: Path, manifest: Manifest) -> int:
    """Bytes that removing the version frees: those of files without another name."""
    found = (path / name for name in manifest.files)
    states = [file.stat() for file in found if file.is_file()]
    return sum(state.st_size for state in states if state.st_nlink == 1)


def activate_version(folder: CollectionFolder, version: str) -> str | None:
    """Make a version current, once it was opened; nothing is rebuilt.

    Returns
    -------
    str or None
        Id of the version that was current.

    Raises
    ------
    IndexNotFoundError
        If there is no such version.
    IndexCorruptError, IndexVersionError, ModelNotFoundError
        If it cannot be opened.
    IndexLockedError
        If another process is writing the collection.
    """
    path = folder.version_path(version)
    with folder.writing():
        previous = folder.current_or_none()
        # Opening it shows that it can be, before anyone is sent to it.
        opened = open_version(path)
        served = _fingerprints(folder, previous)
        for name, encoder in opened.encoders.items():
            # A model is hundreds of megabytes to read: not again where it is in use already.
            if isinstance(encoder, BertEncoder) and encoder.fingerprint != served.get(name):
                encoder.check_model()
        folder.publish(version)
    return previous


def _fingerprints(folder: CollectionFolder, version: str | None) -> dict[str, str | None]:
    """Encoders of a version by signal; none where it cannot be read."""
    if version is None:
        return {}
    try:
        signals = folder.manifest(version).signals
    except TrineError:
        return {}
    return {name: record.encoder_fingerprint for name, record in signals.items()}


def check_version(folder: CollectionFolder, version: str) -> CheckedVersion:
    """Hold every byte of a version against its manifest, and ask it for its own documents.

    Raises
    ------
    IndexNotFoundError
        If there is no such version.
    """
    path = folder.version_path(version)
    problems: list[str] = []
    unknown: list[str] = []
    try:
        with hold_version(path):
            manifest = read_manifest(path)
            unknown = unlisted_files(path, manifest)
            # The bytes first: what is altered may not even open.
            problems = verify_files(path, manifest) or verify_version(open_version(path))
    except TrineError as error:
        problems = [str(error)]
    return CheckedVersion(version, problems, unknown)
