"""Adopt a ranking: a child version with other settings and its parent's files, none rebuilt."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path

from ingest.errors import IndexCorruptError, IndexFolderError
from pipeline.encoding.links import link_file
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder, new_version_id, version_being_built
from pipeline.version.manifest import (
    Manifest,
    file_sha256,
    read_manifest,
    verify_files,
    write_manifest,
)
from pipeline.version.open_version import open_version
from pipeline.version.remarks import write_remark

__all__ = ["TUNING_NAME", "adopt_ranking", "keep_report"]

TUNING_NAME = "tuning.json"


def adopt_ranking(
    collection: CollectionFolder,
    parent: str,
    ranking: Mapping[str, object],
    report: Mapping[str, object],
) -> str:
    """Publish a child of a version that ranks differently by default and shares all its files.

    Every file is a hard link to the parent's (a copy where the file system knows none), held
    against the parent's checksums; only the manifest and the report, ``tuning.json``, are new.

    Parameters
    ----------
    parent
        The current version.
    ranking
        What the search pipeline reads from the manifest's settings.
    report
        How the ranking was found, as JSON-ready values; ``adopted`` is filled in.

    Returns
    -------
    str
        Id of the new version, now current.

    Raises
    ------
    IndexFolderError
        If another version became current meanwhile, or the disk fails.
    IndexCorruptError
        If a file of the parent is damaged.
    """
    began = time.perf_counter()
    with collection.writing():
        if collection.current() != parent:
            raise IndexFolderError(
                f"version {parent} of {collection.name!r} is no longer current: "
                "what was measured on it was not adopted; run trine tune again"
            )
        source = collection.version_path(parent)
        manifest = read_manifest(source)
        building = collection.begin_version(new_version_id())
        try:
            files = {name: sha256 for name, sha256 in manifest.files.items() if name != TUNING_NAME}
            for name in files:
                link_file(source / name, building / name)
            adopted = {**report, "adopted": version_being_built(building)}
            text = json.dumps(adopted, indent=1) + "\n"
            (building / TUNING_NAME).write_text(text, encoding="utf-8")
            files[TUNING_NAME] = file_sha256(building / TUNING_NAME)
            child = replace(
                manifest,
                version=version_being_built(building),
                collection=collection.name,
                created=datetime.now(UTC).isoformat(timespec="milliseconds"),
                trine_version=distribution_version("trine"),
                settings=_with_ranking(manifest, ranking),
                files=files,
                total_bytes=sum((building / name).stat().st_size for name in files),
                timings_s={"total": round(time.perf_counter() - began, 3)},
                parent=parent,
            )
            write_manifest(building, child)
            if problems := verify_files(building, child):
                raise IndexCorruptError(f"version {parent} is damaged: {problems[0]}")
            open_version(building)
            collection.publish_built(building)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return child.version


def keep_report(collection: CollectionFolder, version: str, report: Mapping[str, object]) -> Path:
    """Store a report on tuning a version beside it; the version itself never changes.

    Raises
    ------
    IndexFolderError
        If it cannot be written.
    """
    path = collection.tuning_path(version)
    write_remark(path, report)
    return path


def _with_ranking(manifest: Manifest, ranking: Mapping[str, object]) -> dict[str, object]:
    return IndexSettings.from_manifest(manifest.settings).with_ranking(ranking).to_manifest()
