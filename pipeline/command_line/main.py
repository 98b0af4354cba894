"""The command ``trine``."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from pipeline.command_line.options import print_json, told

__all__ = ["cli", "main"]

_ALIASES = {"reindex": "index"}


# Where each command is; it is imported when it is used, for none needs what all of them need.
_COMMANDS: Mapping[str, str] = {
    "analogy": "pipeline.command_line.embeddings",
    "collections": "pipeline.command_line.collections",
    "delete": "pipeline.command_line.delete",
    "evaluate": "pipeline.command_line.evaluate",
    "index": "pipeline.command_line.index",
    "neighbors": "pipeline.command_line.embeddings",
    "search": "pipeline.command_line.search",
    "similar": "pipeline.command_line.embeddings",
    "tune": "pipeline.command_line.tune",
    "versions": "pipeline.command_line.versions",
}


class _Trine(click.Group):
    """Commands that are loaded when used; those right of ``pipeline`` come from entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *(entry.name for entry in entry_points(group="trine.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if name in _COMMANDS:
            command: click.Command = getattr(import_module(_COMMANDS[name]), name)
            return command
        for entry in entry_points(group="trine.commands", name=name):
            loaded: click.Command = entry.load()
            return loaded
        return None


@click.group(cls=_Trine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trine", message="trine %(version)s")
def cli() -> None:
    """Semantic search over your own documents, on your own machine."""


def main(arguments: list[str] | None = None) -> None:
    """Run ``trine``: exit status 0 success, 1 a one-line error, 2 wrong usage."""
    try:
        status: Any = cli.main(arguments, standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("trine: stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if _wants_json(arguments):
            print_json({"error": error.format_message()})
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("TRINE_TRACEBACK"):
            raise
        _fail(told(error), arguments)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, arguments: list[str] | None) -> None:
    if _wants_json(arguments):
        print_json({"error": message})
    click.echo(f"trine: {message}", err=True)
    sys.exit(1)


def _wants_json(arguments: list[str] | None) -> bool:
    given = sys.argv[1:] if arguments is None else arguments
    options = given[: given.index("--")] if "--" in given else given
    # trine evaluate --format json, in one word or two.
    pairs = {f"{first}={second}" for first, second in itertools.pairwise(options)}
    return "--json" in options or "--format=json" in {*options, *pairs}


if __name__ == "__main__":
    main()
