"""Files that two versions share: hard links, which are never written through.

Whatever a build writes it writes to a new file; a link is only ever made, read and removed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["link_file", "link_tree"]


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; a copy on a file system without hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        # The copy costs space, nothing else.
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Link every file below a folder."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            link_file(path, target / path.relative_to(source))
