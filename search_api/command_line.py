"""The command ``trine keys``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.command_line.options import output_console, print_json
from pipeline.version.collection import default_data_dir
from search_api.keys import SCOPES, ApiKey, KeyStore

__all__ = ["keys"]

Command = TypeVar("Command", bound=Callable[..., Any])


def _common_options(command: Command) -> Command:
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON value."),
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path, file_okay=False, readable=False),
            help="Data folder.  [default: $TRINE_DATA_DIR, or the user data folder]",
        ),
    ):
        command = decorate(command)
    return command


@click.group()
def keys() -> None:
    """Make, list and revoke the API keys of a data folder.

    A running server knows of a change with the next request.
    """


@keys.command()
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=("search",),
    show_default=True,
    help="What it may do; as often as wanted, none includes another.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="The only collections there are for it; as often as wanted.  [default: all]",
)
@click.option("--filter", "bound", help="Condition on the only documents there are for it.")
@_common_options
def create(
    *,
    label: str,
    scopes: tuple[str, ...],
    collections: tuple[str, ...],
    bound: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make a key and print it; it is never shown again.

    LABEL says to people who has it.
    """
    store = KeyStore(data_dir or default_data_dir())
    made, key = store.create(label, scopes, collections=collections, filter=bound)
    if as_json:
        print_json({**made.to_json(), "key": key})
        return
    output_console().print(key, soft_wrap=True)
    click.echo(f"Keep it: it is not shown again. {_told(made)}", err=True)


@keys.command("list")
@_common_options
def list_keys(*, data_dir: Path | None, as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    known = KeyStore(data_dir or default_data_dir()).all()
    if as_json:
        print_json([key.to_json() for key in known])
        return
    for key in known:
        output_console().print(_told(key), soft_wrap=True)
    if not known:
        click.echo("There are no keys (trine keys create LABEL).", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@_common_options
def revoke(*, key_id: str, data_dir: Path | None, as_json: bool) -> None:
    """Let a key open nothing any more."""
    revoked = KeyStore(data_dir or default_data_dir()).revoke(key_id)
    if as_json:
        print_json({"revoked": revoked.to_json()})
    else:
        click.echo(f"Revoked {_told(revoked)}", err=True)


def _told(key: ApiKey) -> str:
    told = f"{key.key_id}  {key.label}  {key.created}  scopes: {', '.join(key.scopes)}"
    if key.collections:
        told += f"  collections: {', '.join(key.collections)}"
    return f"{told}  filter: {key.filter}" if key.filter else told
