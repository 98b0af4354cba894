"""The steps by which versions are published, each of which may be the last of a killed writer.

A version gets its name by one rename and becomes current by another. A writer that is killed
between the two would leave a version that nobody published: ``state/publishing.json``, which is
there while that lasts, tells the next writer of it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["announce", "announced", "point_at", "sync_folder", "sync_tree", "withdraw"]

_NAME = "publishing.json"


def point_at(folder: Path, version: str) -> None:
    """Write a version's id into CURRENT, whole or not at all."""
    temporary = folder / f"CURRENT.{os.getpid()}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / "CURRENT")
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Have every file and every name below a folder reach the disk."""
    for entry in path.rglob("*"):
        if entry.is_file():
            with entry.open("rb") as file:
                os.fsync(file.fileno())
        elif entry.is_dir():
            sync_folder(entry)
    sync_folder(path)


def announce(state: Path, current: str, versions: Sequence[str]) -> None:
    """Say that ``versions`` are about to get their names, and one of them to become current."""
    text = json.dumps({"current": current, "versions": list(versions)}) + "\n"
    (state / _NAME).write_text(text, encoding="utf-8")


def announced(state: Path, current: str | None) -> list[str]:
    """Versions that were to be published and were not; none if ``current`` is what was to be."""
    try:
        content = json.loads((state / _NAME).read_text(encoding="utf-8"))
        return [] if content["current"] == current else list(map(str, content["versions"]))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        # Cut short: nothing had its name yet.
        return []


def withdraw(state: Path) -> None:
    """Nothing is about to be published any more."""
    path = state / _NAME
    if not path.exists():
        return
    path.unlink()
    # Back again after a power cut, it would speak against what has been published since.
    sync_folder(state)
