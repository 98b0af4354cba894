"""Walk a folder for files to read, honouring its ignore files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from ingest.decoding import decode
from ingest.errors import CorpusError
from ingest.files import SourceFile
from ingest.report import IngestReport

__all__ = ["Excludes", "walk_folder"]

_IGNORE_FILES = (".gitignore", ".trineignore")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "CVS"})


class Excludes:
    """Patterns of paths to leave out, as in ``.gitignore``.

    Parameters
    ----------
    patterns
        The patterns, in order; a later one, perhaps negated, wins over an earlier.

    Examples
    --------
    >>> excludes = Excludes(["drafts/", "*.log", "!keep.log"])
    >>> excludes.match("drafts", is_folder=True), excludes.match("keep.log", is_folder=False)
    (True, False)
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        try:
            self._spec = GitIgnoreSpec.from_lines(patterns)
        except ValueError as error:
            raise CorpusError(f"not an ignore pattern: {' '.join(str(error).split())}") from error

    def match(self, relative_path: str, *, is_folder: bool) -> bool | None:
        """Tell whether a path is left out.

        Parameters
        ----------
        relative_path
            Path with ``/``, relative to the folder the patterns belong to.
        is_folder
            Whether it is a folder.

        Returns
        -------
        bool or None
            ``False`` if a negated pattern keeps it, ``None`` if no pattern says anything.
        """
        return self._spec.check_file(relative_path + ("/" if is_folder else "")).include


def walk_folder(folder: Path, excludes: Excludes, report: IngestReport) -> Iterator[SourceFile]:
    """Yield the files of a folder and all folders in it, in order of their names.

    Left out are hidden files and folders, ``__pycache__``, ``node_modules``, virtual
    environments, and whatever a ``.gitignore`` or ``.trineignore`` within the folder names. A
    link to a folder is followed when it leads out of the walked folder, and no folder is
    visited twice.

    Parameters
    ----------
    folder
        Where to begin.
    excludes
        More to leave out, relative to the folder.
    report
        Takes note of folders that cannot be listed.
    """
    walk = _Walk(folder, report)
    yield from walk.files("", [("", excludes)])


class _Walk:
    """One walk: the folders visited so far, by their real paths."""

    def __init__(self, root: Path, report: IngestReport) -> None:
        self.root = root
        self.report = report
        self.real_root = os.path.realpath(root)
        self.visited: set[str] = set()

    def files(self, prefix: str, rules: list[tuple[str, Excludes]]) -> Iterator[SourceFile]:
        # A stack instead of recursion: folders may nest deeper than Python's calls.
        stack: list[tuple[str, bool, list[tuple[str, Excludes]]]] = [(prefix, True, rules)]
        while stack:
            name, is_folder, inherited = stack.pop()
            if not is_folder:
                yield SourceFile(self.root / name, name)
                continue
            real = os.path.realpath(self.root / name)
            if real in self.visited:
                continue
            self.visited.add(real)
            own = [*inherited, *self._own_rules(name)]
            entries = [
                (f"{name}/{entry.name}" if name else entry.name, entry_is_folder, own)
                for entry, entry_is_folder in self._listed(name)
            ]
            stack += [
                entry for entry in reversed(entries) if not _is_left_out(entry[0], entry[1], own)
            ]

    def _listed(self, name: str) -> list[tuple[os.DirEntry[str], bool]]:
        try:
            with os.scandir(self.root / name) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            self.report.skip("unreadable folder", str(self.root / name))
            return []
        kept = []
        for entry in entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:
                # A link to itself; opening it fails and is then reported.
                is_folder, is_file = False, True
            if entry.name.startswith(".") or (is_folder and self._is_skipped(entry)):
                continue
            # Pipes, sockets and devices would block or never end; broken links are reported.
            if is_folder or is_file or (entry.is_symlink() and not Path(entry.path).exists()):
                kept.append((entry, is_folder))
        return kept

    def _is_skipped(self, entry: os.DirEntry[str]) -> bool:
        if entry.name in _SKIPPED_FOLDERS or Path(entry.path, "pyvenv.cfg").exists():
            return True
        if not entry.is_symlink():
            return False
        # A link back into the walked folder: its target is met under its own name.
        real = os.path.realpath(entry.path)
        return os.path.commonpath([real, self.real_root]) == self.real_root

    def _own_rules(self, name: str) -> list[tuple[str, Excludes]]:
        rules = []
        for ignore_file in _IGNORE_FILES:
            path = self.root / name / ignore_file
            try:
                text = decode(path.read_bytes()) if path.is_file() else None
                if text is not None:
                    rules.append((name, Excludes(text.splitlines())))
            except (OSError, CorpusError):
                self.report.skip("unreadable ignore file", str(path))
        return rules


def _is_left_out(path: str, is_folder: bool, rules: Sequence[tuple[str, Excludes]]) -> bool:
    """Ask the innermost rules first: a folder's own ignore file wins over those above it."""
    for position in range(len(rules) - 1, -1, -1):
        base, excludes = rules[position]
        relative = path[len(base) :].lstrip("/")
        verdict = excludes.match(relative, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
