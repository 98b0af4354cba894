"""Progress bars: on standard error, and only to a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from encoders.protocol import ProgressCallback

__all__ = ["BarProgress"]


class BarProgress:
    """One bar a stage of a build: name, count, time spent and time left.

    Parameters
    ----------
    console
        Where to draw; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[ProgressCallback]:
        """Draw one stage until it ends; its finished bar stays on screen."""
        with Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        ) as progress:
            bar = progress.add_task(name, total=total)
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                progress.update(bar, completed=done)

            yield advance
            progress.update(bar, total=total or done or 1, completed=total or done or 1)
