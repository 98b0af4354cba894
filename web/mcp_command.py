"""The command ``trine mcp``."""

from __future__ import annotations

import logging
import threading
from ipaddress import ip_address

import click

from ingest.errors import TrineError
from pipeline.command_line.options import Place, common_options, print_json
from search_api.searchers import SearcherPool
from web.server import listen

__all__ = ["mcp"]

DEFAULT_MCP_PORT = 8081


@click.command()
@click.option("--http", is_flag=True, help="Serve streamable HTTP instead of standard input.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on."
)
@click.option(
    "--port",
    default=DEFAULT_MCP_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 takes any free one.",
)
@common_options
def mcp(*, http: bool, host: str, port: int, place: Place) -> None:
    """Serve search and documents to agents over the Model Context Protocol.

    The collection is the one asked where a call names none. Speaks on standard input and output,
    as MCP clients start it, unless --http is given; logs go to standard error.
    """
    # Takes a second to import, which the other commands' help need not wait for.
    from search_api.mcp_server import MCP_PATH, serve_http, serve_stdio

    if place.as_json and not http:
        raise click.UsageError("--json needs --http: standard output belongs to the protocol")
    logging.basicConfig(level=logging.WARNING, format="trine: %(message)s")
    # Nobody shall find out by the first question that there is nothing to search.
    place.folder.manifest(place.folder.current())
    pool = SearcherPool(place.data_dir, place.collection)
    threading.Thread(target=_open, args=(pool,), name="trine-opener", daemon=True).start()
    try:
        if not http:
            serve_stdio(pool)
            return
        _check_loopback(host)
        with listen(host, port) as listener:
            url = f"http://{_bracketed(host)}:{listener.getsockname()[1]}{MCP_PATH}"
            if place.as_json:
                print_json({"url": url, "collection": place.collection})
            click.echo(f"Serving {place.collection!r} to agents at {url} (Ctrl-C stops)", err=True)
            serve_http(pool, listener)
    finally:
        pool.close()


def _open(pool: SearcherPool) -> None:
    """Open the collection while the client says hello; what fails now will tell each call."""
    try:
        pool.get()
    except TrineError as error:
        click.echo(f"trine: {error}", err=True)


def _check_loopback(host: str) -> None:
    try:
        private = ip_address(host).is_loopback
    except ValueError:
        private = host == "localhost"
    if not private:
        raise TrineError(
            f"{host} is not an address of this machine alone, and no key is asked for: use "
            "--host 127.0.0.1"
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
