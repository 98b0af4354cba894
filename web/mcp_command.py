"""The command ``trine mcp``."""

from __future__ import annotations

import logging
import threading

import click

from ingest.errors import TrineError
from pipeline.command_line.options import Place, common_options, print_json
from search_api.access import is_loopback
from search_api.keys import KeyStore
from search_api.searchers import SearcherPool
from web.server import listen

__all__ = ["mcp"]

DEFAULT_MCP_PORT = 8081


@click.command()
@click.option("--http", is_flag=True, help="Serve streamable HTTP instead of standard input.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but this machine's own needs keys (trine keys).",
)
@click.option(
    "--port",
    default=DEFAULT_MCP_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 takes any free one.",
)
@click.option(
    "--require-keys", is_flag=True, help="Answer nothing without an API key, on 127.0.0.1 either."
)
@common_options
def mcp(*, http: bool, host: str, port: int, require_keys: bool, place: Place) -> None:
    """Serve search and documents to agents over the Model Context Protocol.

    The collection is the one asked where a call names none. Speaks on standard input and output,
    as MCP clients start it, unless --http is given; logs go to standard error.
    """
    # Takes a second to import, which the other commands' help need not wait for.
    from search_api.mcp_server import MCP_PATH, serve_http, serve_stdio

    if place.as_json and not http:
        raise click.UsageError("--json needs --http: standard output belongs to the protocol")
    if require_keys and not http:
        raise click.UsageError("--require-keys needs --http: standard input is its owner's own")
    logging.basicConfig(level=logging.WARNING, format="trine: %(message)s")
    # Nobody shall find out by the first question that there is nothing to search.
    place.folder.manifest(place.folder.current())
    pool = SearcherPool(place.data_dir, place.collection)
    # Opened while the client says hello, and not before it is known that there will be one.
    opener = threading.Thread(target=_open, args=(pool,), name="trine-opener", daemon=True)
    try:
        if not http:
            opener.start()
            serve_stdio(pool)
            return
        is_closed = require_keys or not is_loopback(host)
        if is_closed and not KeyStore(place.data_dir).all():
            raise TrineError(
                f"{host} is served to those with a key alone, and there is none: make one with "
                "trine keys create LABEL"
            )
        with listen(host, port) as listener:
            opener.start()
            url = f"http://{_bracketed(host)}:{listener.getsockname()[1]}{MCP_PATH}"
            if place.as_json:
                print_json({"url": url, "collection": place.collection})
            click.echo(f"Serving {place.collection!r} to agents at {url} (Ctrl-C stops)", err=True)
            serve_http(pool, listener, keys_required=is_closed)
    finally:
        pool.close()


def _open(pool: SearcherPool) -> None:
    """Open the collection; what fails now will tell each call."""
    try:
        pool.get()
    except TrineError as error:
        click.echo(f"trine: {error}", err=True)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
