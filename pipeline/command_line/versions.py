"""``trine versions``: list, activate, verify, diff, prune."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ingest.errors import IndexCorruptError, TrineError
from pipeline.command_line.options import (
    Place,
    common_options,
    group_with_default,
    output_console,
    print_json,
)
from pipeline.encoding.verification import verify_version
from pipeline.version.collection import KEPT_VERSIONS, CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.manifest import read_manifest, verify_files
from pipeline.version.open_version import open_version

__all__ = ["versions"]


@click.command("list")
@common_options
def list_versions(*, place: Place) -> None:
    """List all versions, oldest first."""
    folder = place.folder
    # With CURRENT missing or astray, this list is where to find what to activate.
    current = folder.current_or_none() if folder.versions() else folder.current()
    described = [_describe(folder, version, current) for version in folder.versions()]
    if place.as_json:
        print_json(described)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("version", "created", "documents", "passages", "signals", "MB"):
        # A version's id is there to be copied: the signals wrap first.
        table.add_column(heading, no_wrap=heading != "signals", overflow="fold")
    for entry in described:
        table.add_row(*_cells(entry))
    output_console().print(table)


@group_with_default(list_versions)
def versions() -> None:
    """List, activate, verify, compare and prune a collection's versions."""


def _describe(folder: CollectionFolder, version: str, current: str | None) -> dict[str, object]:
    try:
        manifest = folder.manifest(version)
    except TrineError as error:
        return {"version": version, "current": version == current, "error": str(error)}
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
    }


def _cells(entry: dict[str, object]) -> list[str | Text]:
    mark = "*" if entry["current"] else ""
    if "error" in entry:
        return [mark, str(entry["version"]), Text(str(entry["error"]), style="red"), *[""] * 4]
    signals, size = entry["signals"], entry["bytes"]
    return [
        mark,
        str(entry["version"]),
        str(entry["created"])[:16].replace("T", " "),
        f"{entry['documents']:,}",
        f"{entry['passages']:,}",
        " ".join(signals) if isinstance(signals, dict) else "",
        f"{size / 1e6:.1f}" if isinstance(size, int) else "",
    ]


@versions.command()
@click.argument("version", metavar="ID")
@common_options
def activate(*, version: str, place: Place) -> None:
    """Make version ID current: roll back, or forward again. Nothing is rebuilt."""
    folder = place.folder
    previous = folder.current_or_none()
    # Opening it shows that every file is there before anyone is sent to it.
    open_version(folder.version_path(version))
    with folder.writing():
        folder.publish(version)
    if place.as_json:
        print_json({"collection": place.collection, "version": version, "previous": previous})
    else:
        output_console().print(f"{place.collection}: version {version} is current", soft_wrap=True)


@versions.command()
@click.argument("version", metavar="[ID]", required=False)
@common_options
def verify(*, version: str | None, place: Place) -> None:
    """Hold every byte of version ID, or of every version, against its manifest."""
    folder = place.folder
    chosen = [version] if version else folder.versions()
    if not chosen:
        # Says that there is no collection.
        folder.current()
    found = {name: _problems(folder.version_path(name)) for name in chosen}
    if place.as_json:
        print_json([{"version": name, "problems": problems} for name, problems in found.items()])
    else:
        for name, problems in found.items():
            output_console().print(f"{name}: {'; '.join(problems) or 'whole'}", soft_wrap=True)
    damaged = [name for name, problems in found.items() if problems]
    if not damaged:
        return
    error = f"{len(damaged)} of {len(chosen)} versions damaged: {', '.join(damaged)}"
    if not place.as_json:
        raise IndexCorruptError(error)
    # The one JSON value has been printed.
    click.echo(f"trine: {error}", err=True)
    raise click.exceptions.Exit(1)


def _problems(path: Path) -> list[str]:
    try:
        # The bytes first: what is altered may not even open.
        return verify_files(path, read_manifest(path)) or verify_version(open_version(path))
    except TrineError as error:
        return [str(error)]


@versions.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@common_options
def diff(*, first: str, second: str, place: Place) -> None:
    """Count what changed from version A to version B."""
    folder = place.folder
    old, new = (folder.version_path(version) for version in (first, second))
    with closing(DocumentStore(old)) as first_store, closing(DocumentStore(new)) as second_store:
        change = asdict(second_store.compare(first_store).change)
    before, after = folder.manifest(first), folder.manifest(second)
    report = {
        **change,
        "settings_changed": before.settings != after.settings,
        "encoders_changed": sorted(
            name
            for name in before.signals.keys() | after.signals.keys()
            if _fingerprint(before.signals.get(name)) != _fingerprint(after.signals.get(name))
        ),
    }
    if place.as_json:
        print_json(report)
    else:
        for name, value in report.items():
            output_console().print(f"{name}: {value}")


def _fingerprint(record: object) -> object:
    return getattr(record, "encoder_fingerprint", record)


@versions.command()
@click.option(
    "--keep",
    default=KEPT_VERSIONS,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the newest stay.",
)
@common_options
def prune(*, keep: int, place: Place) -> None:
    """Remove all but the newest versions; never the current one."""
    with place.folder.writing():
        removed = place.folder.prune(keep)
    if place.as_json:
        print_json({"removed": removed})
    else:
        output_console().print(f"removed {len(removed)} versions")
