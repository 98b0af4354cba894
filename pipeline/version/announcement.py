"""Which versions are about to be published: ``state/publishing.json``, while that lasts.

A version gets its name by one rename and becomes current by another. A writer that is killed
between the two would leave a version that nobody published; this tells the next writer of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["announce", "announced", "withdraw"]

_NAME = "publishing.json"


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
    descriptor = os.open(state, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
