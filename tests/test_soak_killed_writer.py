"""Kill a writer at moments drawn by seed (``make soak``; ``make test`` runs the first few)."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import verify_files
from pipeline.version.open_version import open_version

N_SAMPLED = 3
N_SOAKED = 60
# Every moment from the first document read to the last file renamed, on any machine.
WRITER = """
import sys
from pathlib import Path
from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder

data_dir, seed = Path(sys.argv[1]), int(sys.argv[2])
folder = CollectionFolder(data_dir, "default")
settings = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
print("ready", flush=True)
while True:
    seed += 1
    documents = [Document(f"d{n}", f"Title {n}", f"Text {n} of run {seed}.") for n in range(30)]
    build_version(folder, documents, settings=settings)
"""


def kill_a_writer(data_dir: Path, settings: IndexSettings, seed: int) -> None:
    folder = CollectionFolder(data_dir, "default")
    documents = [Document(f"d{n}", f"Title {n}", f"Text {n} of run 0.") for n in range(30)]
    build_version(folder, documents, settings=settings)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data_dir), str(seed * 1000)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0.0, 6.0))  # noqa: S311
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    path = folder.version_path(folder.current())
    version = open_version(path)
    assert verify_files(path, version.manifest) == []
    assert verify_version(version) == []
    assert Searcher(version).search(Query("title 7")).total
    assert build_version(folder, documents[:20], settings=settings).published
    assert not list(folder.path.rglob("*.building"))
    assert not list(folder.path.glob("CURRENT.*"))


@pytest.mark.parametrize("seed", range(N_SAMPLED))
def test_a_writer_killed_at_a_random_moment(
    tmp_path: Path, tiny_settings: IndexSettings, seed: int
) -> None:
    kill_a_writer(tmp_path, tiny_settings, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(N_SAMPLED, N_SOAKED))
def test_a_writer_killed_at_many_random_moments(
    tmp_path: Path, tiny_settings: IndexSettings, seed: int
) -> None:
    kill_a_writer(tmp_path, tiny_settings, seed)
