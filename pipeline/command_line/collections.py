"""``trine collections``: list, rename, delete, backup, restore."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from ingest.errors import IndexFolderError, IndexNotFoundError, TrineError
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    group_with_default,
    output_console,
    print_json,
)
from pipeline.command_line.progress import BarProgress
from pipeline.version.backup import back_up
from pipeline.version.collection import CollectionFolder, list_collections
from pipeline.version.restore import restore as restore_backup

__all__ = ["collections"]


@click.command("list")
@common_options
def list_all(*, place: Place) -> None:
    """List all collections of the data folder."""
    described = []
    for name in list_collections(place.data_dir):
        folder = CollectionFolder(place.data_dir, name)
        entry: dict[str, object] = {"collection": name}
        try:
            manifest = folder.manifest(folder.current())
            entry |= {
                "version": manifest.version,
                "documents": manifest.n_documents,
                "signals": list(manifest.signals),
                "bytes": manifest.total_bytes,
            }
        except TrineError as error:
            entry["error"] = str(error)
        described.append(entry)
    if place.as_json:
        print_json(described)
        return
    table = Table("collection", "documents", "version", box=None, pad_edge=False)
    for entry in described:
        table.add_row(
            str(entry["collection"]),
            f"{entry.get('documents', '')}",
            str(entry.get("version", entry.get("error"))),
        )
    empty = f"no collections in {place.data_dir}"
    output_console().print(table if described else empty, soft_wrap=not described)


@group_with_default(list_all)
def collections() -> None:
    """List, rename, delete, back up and restore collections."""


@collections.command()
@click.argument("name")
@click.argument("new_name")
@common_options
def rename(*, name: str, new_name: str, place: Place) -> None:
    """Give collection NAME the name NEW_NAME."""
    old, new = (CollectionFolder(place.data_dir, chosen) for chosen in (name, new_name))
    _check_exists(old)
    with old.writing():
        if new.path.exists():
            raise IndexFolderError(f"there is a collection {new_name!r} already")
        old.path.rename(new.path)
    new.forget_writer()
    _tell(place, {"collection": new_name, "previous": name}, f"{name} is now {new_name}")


@collections.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def delete(*, name: str, yes: bool, place: Place) -> None:
    """Delete collection NAME with all its versions."""
    folder = CollectionFolder(place.data_dir, name)
    _check_exists(folder)
    if not yes and not _confirmed(name):
        raise IndexFolderError(f"collection {name!r} was not deleted (--yes deletes unasked)")
    folder.remove()
    _tell(place, {"deleted": name}, f"deleted {name}")


@collections.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--all-versions", is_flag=True, help="Not only the current version.")
@common_options
def backup(*, name: str, file: Path, all_versions: bool, place: Place) -> None:
    """Write collection NAME into FILE (.tar, .tar.gz, .tgz, .tar.zst), while it is in use.

    A file that is there is replaced once the backup is complete.
    """
    folder = CollectionFolder(place.data_dir, name)
    with BarProgress(error_console()).stage("backup", None) as advance:
        summary = back_up(folder, file, all_versions=all_versions, progress=advance)
    _tell(
        place,
        {
            "collection": summary.collection,
            "current": summary.current,
            "versions": summary.versions,
            "file": str(summary.path),
            "bytes": summary.n_bytes,
        },
        f"{name}: backed up {_counted(summary.versions)} in {file}, "
        f"{summary.n_bytes / 1e6:,.1f} MB",
    )


@collections.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--as", "name", help="Name of the collection.  [default: the one it had]")
@click.option("--replace", is_flag=True, help="Publish it in the collection of that name.")
@common_options
def restore(*, file: Path, name: str | None, replace: bool, place: Place) -> None:
    """Restore the collection backed up in FILE; every byte is checked before it is published."""
    with BarProgress(error_console()).stage("restore", None) as advance:
        summary = restore_backup(file, place.data_dir, name=name, replace=replace, progress=advance)
    _tell(
        place,
        {
            "collection": summary.collection,
            "version": summary.current,
            "versions": summary.versions,
            "documents": summary.n_documents,
        },
        f"{summary.collection}: restored {_counted(summary.versions)}; {summary.current} with "
        f"{summary.n_documents:,} documents is current",
    )


def _counted(versions: list[str]) -> str:
    return f"{len(versions)} version" + ("s" if versions[1:] else "")


def _check_exists(folder: CollectionFolder) -> None:
    if not folder.exists():
        raise IndexNotFoundError(f"no collection {folder.name!r} in {folder.data_dir}")


def _confirmed(name: str) -> bool:
    try:
        return click.confirm(f"Delete collection {name} with all its versions?", err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _tell(place: Place, value: object, line: str) -> None:
    if place.as_json:
        print_json(value)
    else:
        output_console().print(line, soft_wrap=True)
