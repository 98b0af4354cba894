"""``trine versions``: list, activate, verify, diff, prune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from ingest.errors import IndexCorruptError
from pipeline.command_line.options import (
    Place,
    common_options,
    group_with_default,
    output_console,
    print_json,
)
from pipeline.encoding.upkeep import activate_version, check_version, describe_version
from pipeline.version.collection import KEPT_VERSIONS
from pipeline.version.open_version import open_version

if TYPE_CHECKING:
    from pipeline.evaluation.version_diff import Change, VersionDiff

__all__ = ["versions"]

_N_SHOWN = 5
_WIDEST = 1000


@click.command("list")
@common_options
def list_versions(*, place: Place) -> None:
    """List all versions, oldest first."""
    folder = place.folder
    # With CURRENT missing or astray, this list is where to find what to activate.
    current = folder.current_or_none() if folder.versions() else folder.current()
    described = [describe_version(folder, version, current) for version in folder.versions()]
    if place.as_json:
        print_json(described)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    headings = ("version", "created", "documents", "signals", "MB", "own MB", "nDCG@10", "parent")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for entry in described:
        table.add_row(*_cells(entry))
    out = output_console()
    # A line too long for the terminal is wrapped there; cut, it would say less.
    out.width = max(
        out.width, out.measure(table, options=out.options.update(width=_WIDEST)).maximum
    )
    out.print(table)
    for entry in described:
        if "error" in entry:
            out.print(f"{entry['version']}: {entry['error']}", soft_wrap=True)


@group_with_default(list_versions)
def versions() -> None:
    """List, activate, verify, compare and prune a collection's versions."""


def _cells(entry: Mapping[str, Any]) -> list[str | Text]:
    mark = "*" if entry["current"] else ""
    if "error" in entry:
        return [mark, entry["version"], Text("cannot be read", style="red"), *[""] * 6]
    quality, parent = entry["quality"], entry["parent"]
    return [
        mark,
        entry["version"],
        entry["created"][:16].replace("T", " "),
        f"{entry['documents']:,}",
        " ".join(entry["signals"]),
        f"{entry['bytes'] / 1e6:.1f}",
        f"{entry['own_bytes'] / 1e6:.1f}",
        f"{quality['ndcg@10']:.4f}" if quality else "",
        # Enough to tell it from the others in the list.
        parent.rpartition("-")[2] if parent else "",
    ]


@versions.command()
@click.argument("version", metavar="ID")
@common_options
def activate(*, version: str, place: Place) -> None:
    """Make version ID current: roll back, or forward again. Nothing is rebuilt."""
    folder = place.folder
    previous = activate_version(folder, version)
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
    found = [asdict(check_version(folder, name)) for name in chosen]
    if place.as_json:
        print_json(found)
    else:
        for entry in found:
            line = f"{entry['version']}: {'; '.join(entry['problems']) or 'whole'}"
            if unknown := entry["unknown_files"]:
                line += f"; not in the manifest, and never read: {', '.join(unknown)}"
            output_console().print(line, soft_wrap=True)
    damaged = [entry["version"] for entry in found if entry["problems"]]
    if not damaged:
        return
    error = f"{len(damaged)} of {len(chosen)} versions damaged: {', '.join(damaged)}"
    if not place.as_json:
        raise IndexCorruptError(error)
    # The one JSON value has been printed.
    click.echo(f"trine: {error}", err=True)
    raise click.exceptions.Exit(1)


@versions.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@common_options
def diff(*, first: str, second: str, place: Place) -> None:
    """Tell what changed from version A to version B, and how alike they answer.

    Documents, settings, encoders, and overlap@10: the share of the ten best documents that both
    find, on the titles of up to 50 documents in both.
    """
    # Comparing takes the whole search pipeline; rolling back shall not wait for it to be imported.
    from pipeline.evaluation.version_diff import compare_versions

    folder = place.folder
    old, new = (open_version(folder.version_path(version)) for version in (first, second))
    found = compare_versions(old, new)
    if place.as_json:
        print_json(found.to_json())
    else:
        for line in _diff_lines(found):
            output_console().print(line, soft_wrap=True)


def _diff_lines(found: VersionDiff) -> list[str]:
    lines = []
    for name in ("added", "removed", "changed"):
        doc_ids: list[str] = getattr(found, name)
        shown = ", ".join(doc_ids[:_N_SHOWN]) + (", ..." if doc_ids[_N_SHOWN:] else "")
        lines.append(f"{len(doc_ids):,} documents {name}" + (f": {shown}" if shown else ""))
    lines.append(f"{found.n_unchanged:,} documents unchanged")
    lines += [f"setting {name}: {_changed(change)}" for name, change in found.settings.items()]
    lines += [f"encoder {name}: {_changed(change)}" for name, change in found.encoders.items()]
    overlap = found.overlap
    if isinstance(overlap, str):
        return [*lines, f"overlap@10 is not known: {overlap}"]
    lines.append(f"overlap@10 {overlap.mean:.3f} on {overlap.n_queries} titles")
    return lines + [f"  {share:.1f} {query}" for query, share in overlap.least]


def _changed(change: Change) -> str:
    before, after = (
        "none" if value is None else value if isinstance(value, str) else json.dumps(value)
        for value in change
    )
    return f"{before} -> {after}"


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
    """Remove all but the newest versions; never the current one, nor one that is open."""
    folder = place.folder
    with folder.writing():
        removed = folder.prune(keep)
        still_open = [
            version for version in folder.versions()[:-keep] if version != folder.current_or_none()
        ]
    if place.as_json:
        print_json({"removed": removed, "open": still_open})
        return
    output_console().print(f"removed {len(removed)} versions")
    if still_open:
        output_console().print(
            f"open, and kept until the next time: {', '.join(still_open)}", soft_wrap=True
        )
