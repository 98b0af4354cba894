"""The commands ``trine serve`` and ``trine demo``."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from encoders.model_folder import check_reranker_folder
from ingest.errors import IndexCorruptError, IndexFolderError, IndexNotFoundError, TrineError
from pipeline.command_line.options import Place, common_options, print_json
from pipeline.search.query import MAX_RERANK_DEPTH, RERANK_BUDGET_MS, RERANK_DEPTH
from pipeline.version.collection import CollectionFolder, default_data_dir, list_collections
from pipeline.version.manifest import Manifest, read_manifest, verify_files
from search_api.access import is_loopback
from search_api.keys import KeyStore
from search_api.observing import TIME_LIMIT_S, Observing
from search_api.rate_limits import RateLimit
from search_api.searchers import RerankSettings
from web.app import Settings, checked_origin
from web.logs import LOG_FORMATS
from web.server import DEFAULT_PORT, serve_forever

__all__ = ["demo", "serve"]

DEMO_COLLECTION = "python-stdlib"
DEMO_SOURCE = "pydoc:stdlib"

Command = TypeVar("Command", bound=Callable[..., Any])


def _address_options(command: Command) -> Command:
    for decorate in (
        click.option(
            "--insecure-no-auth",
            is_flag=True,
            help="Ask nobody for a key, whoever can reach the address.",
        ),
        click.option(
            "--workers",
            default=1,
            show_default=True,
            type=click.IntRange(1, 64),
            help="Processes; each loads the models.",
        ),
        click.option(
            "--port",
            default=DEFAULT_PORT,
            show_default=True,
            type=click.IntRange(0, 65535),
            help="Port; 0 takes any free one.",
        ),
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
        ),
    ):
        command = decorate(command)
    return command


@click.command()
@_address_options
@click.option(
    "--rerank",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="MODEL_DIR",
    help="Folder of a CrossEncoder that orders the best hits anew for requests with rerank=true.",
)
@click.option(
    "--rerank-depth",
    default=RERANK_DEPTH,
    show_default=True,
    type=click.IntRange(1, MAX_RERANK_DEPTH),
    help="How many hits.",
)
@click.option(
    "--rerank-budget-ms",
    default=RERANK_BUDGET_MS,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Time this may take a query; where it is too short, the order stays as it was.",
)
@click.option("--writable", is_flag=True, help="Let requests from this machine write documents.")
@click.option(
    "--admin",
    is_flag=True,
    help="Let requests from this machine list, verify and activate versions.",
)
@click.option(
    "--require-keys",
    is_flag=True,
    help="Answer nothing without an API key (trine keys), not even on 127.0.0.1.",
)
@click.option(
    "--rate-limit",
    metavar="N/UNIT",
    help="Requests of one key, or of one address without a key, such as 100/minute.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin ask the API; as often as wanted, * for any.",
)
@click.option(
    "--proxy",
    "n_proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10),
    help="Reverse proxies in front, whose X-Forwarded-For, -Proto, -Host and -Prefix count.",
)
@click.option(
    "--log-format",
    default="none",
    show_default=True,
    type=click.Choice(LOG_FORMATS),
    help="One line a request on standard error: as JSON, as text, or not at all.",
)
@click.option(
    "--log-queries", is_flag=True, help="Keep what is searched for, in a query log and in the log."
)
@click.option(
    "--time-limit",
    default=TIME_LIMIT_S,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds after which a search is given up.",
)
@common_options
def serve(
    *,
    host: str,
    port: int,
    workers: int,
    rerank: Path | None,
    rerank_depth: int,
    rerank_budget_ms: float,
    writable: bool,
    admin: bool,
    require_keys: bool,
    rate_limit: str | None,
    cors_origins: tuple[str, ...],
    n_proxies: int,
    insecure_no_auth: bool,
    log_format: str,
    log_queries: bool,
    time_limit: float,
    place: Place,
) -> None:
    """Serve the search page and the JSON API."""
    if require_keys and insecure_no_auth:
        raise click.UsageError("--require-keys and --insecure-no-auth exclude each other")
    if not writable or place.folder.exists():
        # One that can be written to may begin with nothing.
        _sound_manifest(place.folder)
    reranking = None
    if rerank is not None:
        # Reads files alone: no model may be loaded before the fork.
        check_reranker_folder(str(rerank), rerank)
        reranking = RerankSettings(str(rerank.absolute()), rerank_depth, rerank_budget_ms)
    settings = Settings(
        place.data_dir,
        place.collection,
        reranking,
        writable=writable,
        admin=admin,
        keys_required=require_keys or (_is_for_strangers(host, n_proxies) and not insecure_no_auth),
        rate_limit=RateLimit.parse(rate_limit) if rate_limit else None,
        cors_origins=tuple(checked_origin(origin) for origin in cors_origins),
        n_proxies=n_proxies,
        observing=Observing(log_queries=log_queries, time_limit_s=time_limit),
    )
    _serve(place, host, port, workers, settings, log_format=log_format)


@click.command()
@_address_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder.  [default: $TRINE_DATA_DIR, or the user data folder]",
)
@click.option("--collection", default=DEMO_COLLECTION, show_default=True, help="Collection.")
def demo(
    *,
    host: str,
    port: int,
    workers: int,
    insecure_no_auth: bool,
    as_json: bool,
    data_dir: Path | None,
    collection: str,
) -> None:
    """Index the documentation of this Python's standard library and serve it.

    The first run takes some minutes; later ones start at once.
    """
    place = Place(data_dir or default_data_dir(), collection, as_json)
    if not _is_demo_indexed(place.folder):
        _index_demo(place)
    is_closed = _is_for_strangers(host) and not insecure_no_auth
    settings = Settings(place.data_dir, place.collection, keys_required=is_closed)
    _serve(place, host, port, workers, settings)


def _serve(
    place: Place,
    host: str,
    port: int,
    workers: int,
    settings: Settings,
    *,
    log_format: str = "none",
) -> None:
    _tell_of_keys(place, host, settings)

    def tell(url: str) -> None:
        if place.as_json:
            print_json({"url": url, "collection": place.collection})
        click.echo(f"Searching {place.collection!r} at {url} (Ctrl-C stops)", err=True)

    click.echo(f"Opening {place.collection!r} ...", err=True)
    serve_forever(
        settings,
        host=host,
        port=port,
        workers=workers,
        log_format=log_format,
        when_ready=tell,
    )


def _is_for_strangers(host: str, n_proxies: int = 0) -> bool:
    """Whether others than this machine's own can reach an address."""
    return n_proxies > 0 or not is_loopback(host)


def _tell_of_keys(place: Place, host: str, settings: Settings) -> None:
    if settings.keys_required:
        if not KeyStore(place.data_dir).all():
            click.echo("warning: there is no key yet (trine keys create LABEL)", err=True)
    elif _is_for_strangers(host, settings.n_proxies):
        click.echo(
            f"warning: whoever can reach {host} can search here; no key is asked for", err=True
        )


def _sound_manifest(folder: CollectionFolder) -> Manifest:
    """Manifest of the current version, whose files are all there; loads no model.

    Raises
    ------
    IndexNotFoundError, IndexCorruptError, IndexVersionError
        If there is nothing to serve.
    """
    try:
        path = folder.version_path(folder.current())
    except IndexNotFoundError as error:
        if others := ", ".join(list_collections(folder.data_dir)):
            raise IndexNotFoundError(
                f"{error}; or serve one of these with --collection: {others}"
            ) from error
        raise
    manifest = read_manifest(path)
    if problems := verify_files(path, manifest, check="size"):
        raise IndexCorruptError(
            f"version {manifest.version} of {folder.name!r} is damaged: {problems[0]}; activate "
            "another (trine versions list) or rebuild it (trine reindex --full)"
        )
    return manifest


def _demo_record(folder: CollectionFolder) -> Path:
    return folder.path / "state" / "demo.json"


def _this_demo() -> dict[str, str]:
    return {"source": DEMO_SOURCE, "python": platform.python_version()}


def _is_demo_indexed(folder: CollectionFolder) -> bool:
    """Whether the collection holds what this very Python documents."""
    try:
        manifest = _sound_manifest(folder)
        record = json.loads(_demo_record(folder).read_text(encoding="utf-8"))
    except (TrineError, OSError, ValueError):
        return False
    return manifest.sources == [DEMO_SOURCE] and record == _this_demo()


def _index_demo(place: Place) -> None:
    """Index in a process of its own: models used here would hang the server's workers."""
    command = [sys.executable, "-m", "pipeline.command_line.main", "index", DEMO_SOURCE]
    command += ["--collection", place.collection, "--data-dir", str(place.data_dir)]
    click.echo("Indexing the standard library's documentation ...", err=True)
    # Standard output is kept for --json.
    done = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603
    if done.returncode:
        # It has told why.
        raise click.exceptions.Exit(done.returncode)
    record = _demo_record(place.folder)
    try:
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps(_this_demo()) + "\n", encoding="utf-8")
    except OSError as error:
        raise IndexFolderError(f"cannot write {record}: {error.strerror}") from error
