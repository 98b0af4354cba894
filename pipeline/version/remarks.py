"""What is known about versions beside them: ``state/<kind>/<version>.json``.

A version never changes, so what is learnt about it later lies outside its folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from ingest.errors import IndexFolderError

__all__ = ["KINDS", "remove_stray_remarks", "write_remark"]

KINDS = ("quality", "tuning")


def write_remark(path: Path, content: Mapping[str, object]) -> None:
    """Write a remark in place of the one before.

    Raises
    ------
    IndexFolderError
        If it cannot be written.
    """
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise IndexFolderError(f"cannot write {path}: {error.strerror or error}") from error


def remove_stray_remarks(state: Path, versions: Collection[str]) -> None:
    """Remove remarks on versions that are gone, and those a killed process had half written."""
    for kind in KINDS:
        folder = state / kind
        for path in folder.iterdir() if folder.is_dir() else ():
            is_stray = path.stem not in versions if path.suffix == ".json" else _is_left(path)
            if is_stray and not path.is_dir():
                path.unlink(missing_ok=True)


def _is_left(temporary: Path) -> bool:
    """Whether the process that was writing this file is no more."""
    number = temporary.suffix.removeprefix(".")
    if not number.isdecimal():
        # Nothing that Trine writes.
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        # Another user's process: it lives.
        return False
    return False
