"""What is looked up when metrics are asked for: versions, what waits to be indexed, memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import TrineError
from pipeline.version.collection import CollectionFolder
from pipeline.version.write_log import WriteLog, written_collections
from search_api.searchers import SearcherPool

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["ServerState", "process_tree", "resident_bytes"]


class ServerState:
    """The state of a data folder and of the server's processes.

    Parameters
    ----------
    pool
        The searchers of this worker.
    server
        Id of the process that started this worker; ``None`` where none did.
    """

    def __init__(self, pool: SearcherPool, server: int | None) -> None:
        self._pool = pool
        self._server = server

    def collect(self) -> Iterable[Metric]:
        """What there is to tell now; what cannot be read is left out."""
        from prometheus_client.core import GaugeMetricFamily

        age = GaugeMetricFamily(
            "trine_version_age_seconds",
            "How long ago the current version was made.",
            labels=("collection",),
        )
        current = GaugeMetricFamily(
            "trine_version_info", "The current version.", labels=("collection", "version")
        )
        documents = GaugeMetricFamily(
            "trine_documents", "Documents of the current version.", labels=("collection",)
        )
        backlog = GaugeMetricFamily(
            "trine_write_log_backlog", "Writes that wait to be indexed.", labels=("collection",)
        )
        memory = GaugeMetricFamily(
            "trine_resident_memory_bytes",
            "Resident memory; pages that processes share count for each.",
            labels=("process",),
        )
        with suppress(TrineError, OSError):
            for name in self._pool.names():
                folder = CollectionFolder(self._pool.data_dir, name)
                with suppress(TrineError, OSError, ValueError):
                    manifest = folder.manifest(folder.current())
                    made = datetime.fromisoformat(manifest.created)
                    age.add_metric((name,), (datetime.now(UTC) - made).total_seconds())
                    current.add_metric((name, manifest.version), 1)
                    documents.add_metric((name,), manifest.n_documents)
        with suppress(TrineError, OSError):
            for folder in written_collections(self._pool.data_dir):
                with suppress(TrineError, OSError):
                    waiting = WriteLog(folder).backlog()
                    backlog.add_metric((folder.name,), waiting.n_writes + len(waiting.reindex))
        for kind, n_bytes in resident_bytes(self._server).items():
            memory.add_metric((kind,), n_bytes)
        return [age, current, documents, backlog, memory]


def resident_bytes(server: int | None) -> dict[str, int]:
    """Resident memory of a server's processes, by what they are; empty without ``/proc``.

    Parameters
    ----------
    server
        Id of the process that started the workers; ``None`` where this one is all there is.

    Returns
    -------
    dict
        ``"server"``, ``"worker"`` (all together) and ``"indexer"`` (what workers started).
    """
    found: dict[str, int] = {}
    first = 1 if server is None else 0
    for process_id, depth in process_tree(os.getpid() if server is None else server):
        n_pages = _resident_pages(process_id)
        kind = ("server", "worker", "indexer")[min(first + depth, 2)]
        found[kind] = found.get(kind, 0) + n_pages * os.sysconf("SC_PAGE_SIZE")
    return found


def process_tree(root: int) -> Iterator[tuple[int, int]]:
    """Ids of a process and all its descendants, each with how many steps below it is."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # The name, in brackets, may hold anything, brackets too.
        with suppress(OSError, ValueError, IndexError):
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    level = [root] if Path(f"/proc/{root}").exists() else []
    depth = 0
    while level:
        yield from ((process_id, depth) for process_id in level)
        level = [child for process_id in level for child in children.get(process_id, ())]
        depth += 1


def _resident_pages(process_id: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return 0
