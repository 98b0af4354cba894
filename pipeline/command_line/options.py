"""What every command shares: common options, JSON on standard output, one-line errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from ingest.errors import TrineError
from pipeline.version.collection import (
    DEFAULT_COLLECTION,
    CollectionFolder,
    default_data_dir,
)

__all__ = [
    "Place",
    "common_options",
    "error_console",
    "group_with_default",
    "output_console",
    "print_json",
    "told",
]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """Which collection a command works on, and how it answers.

    Parameters
    ----------
    as_json
        Print one JSON value on standard output instead of text for people.
    """

    data_dir: Path
    collection: str
    as_json: bool

    @property
    def folder(self) -> CollectionFolder:
        """The collection's folder."""
        return CollectionFolder(self.data_dir, self.collection)


def output_console() -> Console:
    """Console for results; square brackets and :names: in them are text, not markup."""
    return Console(highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """Console for progress, warnings and errors."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print one JSON value on standard output, in UTF-8 whatever the locale."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2).encode()
    except UnicodeEncodeError:
        # A lone surrogate, from an argument that is not UTF-8, can only be escaped.
        text = json.dumps(value, indent=2).encode()
    click.echo(text)


def told(error: Exception) -> str:
    """Put what went wrong in one line."""
    if isinstance(error, TrineError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "out of memory: index fewer documents, or fewer signals"
    elif isinstance(error, OSError):
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    else:
        # A mistake of ours, or bytes altered since they were verified.
        message = (
            f"unexpected {type(error).__name__}: {error} (trine versions verify checks the files; "
            "TRINE_TRACEBACK=1 shows where it happened)"
        )
    return " ".join(message.split())


def common_options(command: Command) -> Command:
    """Add --collection, --data-dir and --json; the command takes them as one ``place``."""

    def with_place(
        *arguments: object, collection: str, data_dir: Path | None, as_json: bool, **options: object
    ) -> object:
        place = Place(data_dir or default_data_dir(), collection, as_json)
        return command(*arguments, place=place, **options)

    with_place.__name__, with_place.__doc__ = command.__name__, command.__doc__
    wrapped: Any = with_place
    wrapped.__click_params__ = getattr(command, "__click_params__", [])
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON value."),
        click.option(
            "--data-dir",
            # A folder without rights gets the same line here as from $TRINE_DATA_DIR.
            type=click.Path(path_type=Path, file_okay=False, readable=False),
            help="Data folder.  [default: $TRINE_DATA_DIR, or the user data folder]",
        ),
        click.option(
            "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Collection."
        ),
    ):
        wrapped = decorate(wrapped)
    result: Command = wrapped
    return result


def group_with_default(command: click.Command) -> Callable[[Callable[..., None]], click.Group]:
    """Make a group that runs ``command``, one of its own, when no other is named.

    The common options may stand before the name of a sub-command as well as after it.
    """

    def decorate(described: Callable[..., None]) -> click.Group:
        @click.pass_context
        def run(context: click.Context, *, place: Place) -> None:
            if context.invoked_subcommand is None:
                context.invoke(command, **_given(context))
                return
            context.default_map = {context.invoked_subcommand: _given(context)}

        run.__name__, run.__doc__ = described.__name__, described.__doc__
        group = click.group(invoke_without_command=True)(common_options(run))
        group.add_command(command)
        return group

    return decorate


def _given(context: click.Context) -> dict[str, Any]:
    default = click.core.ParameterSource.DEFAULT
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not default
    }
