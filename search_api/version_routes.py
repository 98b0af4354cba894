"""Versions: list, look at, check and activate them. All of it needs the scope admin."""

from __future__ import annotations

from typing import Any

from ingest.errors import IndexNotFoundError
from pipeline.encoding.upkeep import activate_version, check_version, describe_version
from pipeline.version.collection import CollectionFolder
from search_api.answer_models import Activated, Verified, VersionDescription, VersionsAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.problems import UnknownIndexError
from search_api.request_models import CollectionRequest
from search_api.snapshot import current_pool

__all__ = ["check_there", "operations", "version_json", "without_folder"]

operations = Operations("Versions", "See and choose what is served. Needs the scope admin.")


@operations.add(
    "GET",
    "/versions",
    name="versions",
    summary="List all versions of a collection",
    asks=CollectionRequest,
    answers=VersionsAnswer,
    scope="admin",
    statuses=(403, 404, 503),
)
def versions(asked: CollectionRequest) -> Answered:
    """List versions, oldest first."""
    folder = current_pool().existing_folder(asked.collection)
    current = folder.current_or_none()
    described = [version_json(folder, version, current) for version in folder.versions()]
    return Answered(lambda: {"collection": folder.name, "versions": described})


@operations.add(
    "GET",
    "/versions/{version}",
    name="version",
    summary="Describe one version",
    asks=CollectionRequest,
    answers=VersionDescription,
    scope="admin",
    statuses=(403, 404, 503),
    example=Example({"version": "VERSION"}),
)
def version(asked: CollectionRequest, version: str) -> Answered:
    """Describe one version."""
    folder = current_pool().existing_folder(asked.collection)
    check_there(folder, version)
    return Answered(lambda: version_json(folder, version, folder.current_or_none()))


@operations.add(
    "POST",
    "/versions/{version}/activate",
    name="activateVersion",
    summary="Make a version current",
    description="Rolls back, or forward again; nothing is rebuilt. This server answers by it when "
    "this is answered.",
    asks=CollectionRequest,
    answers=Activated,
    scope="admin",
    statuses=(403, 404, 409, 503),
    example=Example({"version": "VERSION"}),
)
def activate(asked: CollectionRequest, version: str) -> Answered:
    """Make a version current."""
    folder = current_pool().existing_folder(asked.collection)
    check_there(folder, version)
    previous = activate_version(folder, version)
    current_pool().refresh()
    return Answered(lambda: {"collection": folder.name, "version": version, "previous": previous})


@operations.add(
    "POST",
    "/versions/{version}/verify",
    name="verifyVersion",
    summary="Hold every byte of a version against its manifest",
    description="Reads the whole version and asks it for a sample of its own documents: this may "
    "take a while.",
    asks=CollectionRequest,
    answers=Verified,
    scope="admin",
    statuses=(403, 404, 503),
    example=Example({"version": "VERSION"}),
)
def verify(asked: CollectionRequest, version: str) -> Answered:
    """Check a version."""
    folder = current_pool().existing_folder(asked.collection)
    check_there(folder, version)
    found = check_version(folder, version)
    return Answered(
        lambda: {
            "collection": folder.name,
            "version": version,
            "problems": [without_folder(problem, folder) for problem in found.problems],
            "unknown_files": found.unknown_files,
        }
    )


def check_there(folder: CollectionFolder, version: str) -> None:
    """Check that a collection has a version.

    Raises
    ------
    UnknownIndexError
        If it has none of this id.
    """
    try:
        folder.version_path(version)
    except IndexNotFoundError as error:
        raise UnknownIndexError(
            f"collection {folder.name!r} has no version {version!r} (any more)"
        ) from error


def version_json(folder: CollectionFolder, version: str, current: str | None) -> dict[str, Any]:
    """A version as JSON-ready values, which do not say where data lies."""
    described = describe_version(folder, version, current)
    if "error" in described:
        described["error"] = without_folder(str(described["error"]), folder)
    return described


def without_folder(text: str, folder: CollectionFolder) -> str:
    """A message without the path of the data folder, which is the operator's alone."""
    return text.replace(f"{folder.data_dir}/", "")
