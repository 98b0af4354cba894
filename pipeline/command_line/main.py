"""The command ``trine``."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points, version
from typing import Any

import click

from ingest.errors import TrineError
from pipeline.command_line.collections import collections
from pipeline.command_line.delete import delete
from pipeline.command_line.evaluate import evaluate
from pipeline.command_line.index import index
from pipeline.command_line.options import print_json
from pipeline.command_line.search import search
from pipeline.command_line.versions import versions

__all__ = ["cli", "main"]

_ALIASES = {"reindex": "index"}


class _Trine(click.Group):
    """A group whose commands right of ``pipeline`` come from entry points, loaded when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        installed = {entry.name for entry in entry_points(group="trine.commands")}
        return sorted({*super().list_commands(ctx), *installed})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if command := super().get_command(ctx, name):
            return command
        for entry in entry_points(group="trine.commands", name=name):
            loaded: click.Command = entry.load()
            return loaded
        return None


@click.group(cls=_Trine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("trine"), message="trine %(version)s")
def cli() -> None:
    """Semantic search over your own documents, on your own machine."""


for _command in (index, search, evaluate, versions, collections, delete):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run ``trine``: exit status 0 success, 1 a one-line error, 2 wrong usage."""
    try:
        status: Any = cli.main(arguments, standalone_mode=False)
    except TrineError as error:
        _fail(str(error), arguments)
    except click.exceptions.Abort:
        click.echo("trine: stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        click.echo("trine: stopped", err=True)
        sys.exit(130)
    except MemoryError:
        _fail("out of memory: index fewer documents, or fewer signals", arguments)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, arguments: list[str] | None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    line = " ".join(message.split())
    if "--json" in given:
        print_json({"error": line})
    click.echo(f"trine: {line}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
