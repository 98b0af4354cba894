"""What several test files share: a tiny real collection, built once a session."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from werkzeug.serving import make_server

os.environ["HF_HUB_OFFLINE"] = "1"
# A tiny BERT gains nothing from threads, and waits for them on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fault_server import FaultServer

from encoders.bert import BertEncoder
from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from web import Settings, create_app

# How fast inputs are made says something about the machine, not about Trine.
settings.register_profile("trine", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trine")

# It asserts on behalf of tests, so pytest explains what it asserts.
pytest.register_assert_rewrite("fault_subject")
# Tests have dozens of versions open at once; where 1,024 files are allowed, more may be asked for.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 <= _soft < 8192 and not 0 <= _hard < 8192:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, _hard))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TINY_BERT = Path(__file__).parent / "data" / "tiny_bert"


@pytest.fixture(autouse=True)
def _no_user_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may touch the data folder of whoever runs it."""
    monkeypatch.setenv("TRINE_DATA_DIR", str(tmp_path / "default-data-dir"))


@pytest.fixture(scope="session")
def tiny_settings() -> Iterator[IndexSettings]:
    """All four signals, with the tiny BERT and a short Word2Vec."""
    # A model is shared as long as one encoder has it: every build and searcher has this one.
    keeps = BertEncoder(str(TINY_BERT))
    assert keeps.dimension
    yield IndexSettings(
        encoders={
            "bert": {"model": str(TINY_BERT)},
            "word2vec": {"dimension": 24},
            "tfidf": {"n_components": 24},
        }
    )
    del keeps


def make_library() -> list[Document]:
    """Sixty documents on five subjects, with metadata of every kind and some odd ids."""
    subjects = {
        "files": "read write open close file folder path disk copy rename delete temporary",
        "network": "socket server client http request response port address connection timeout",
        "time": "date time clock timezone calendar sleep duration parse format seconds",
        "numbers": "integer float decimal fraction random statistics mean rounding sum",
        "text": "string regex pattern unicode encode decode split join replace search",
    }
    documents = []
    for position, (subject, vocabulary) in enumerate(subjects.items()):
        known = vocabulary.split()
        for number in range(12):
            words = [known[(number * step + step) % len(known)] for step in range(1, 9)]
            sentences = [
                f"This document explains how to {words[0]} the {words[1]} of a program.",
                f"Use it when the {words[2]} and the {words[3]} must agree.",
                f"It never changes the {words[4]}, whatever {words[5]} it is given.",
                f"See also {words[6]} and {words[7]}.",
            ]
            documents.append(
                Document(
                    doc_id=f"{subject}/{number:02d}",
                    title=f"{words[0].title()} and {words[1]} {number}",
                    text=" ".join(sentences),
                    metadata={
                        "subject": subject,
                        "number": number,
                        "ratio": number / 4,
                        "published": f"20{10 + position:02d}-0{1 + number % 9}-15",
                        "tags": sorted({words[0], words[1]}),
                        "draft": number % 2 == 0,
                    },
                    names=(f"{subject}.{words[0]}.{number}",),
                    origin=f"library:{len(documents) + 1}",
                )
            )
    long_text = "\n\n".join(
        f"Chapter {n}\n\nThe {w} chapter tells of {w} things, one after the other, at length. " * 4
        for n, w in enumerate(("alpha", "beta", "gamma", "delta", "epsilon", "zeta"))
    )
    documents += [
        Document("long", "A long document", long_text, metadata={"subject": "text"}),
        Document("title-only", "Quaternion interpolation", ""),
        Document("ünï/cødé?x=1&y#2 %20", "Odd id", "An id with every odd character.", url="u"),
        Document("html", '<b>bold</b> & "quoted"', "Text with <script>alert(1)</script> in it."),
        Document("stop-words", "", "the of and to in"),
    ]
    return documents


@pytest.fixture(scope="session")
def library() -> list[Document]:
    return make_library()


@pytest.fixture(scope="session")
def library_data_dir(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> Path:
    """Data folder with one collection, ``default``; not to be written to."""
    data_dir = tmp_path_factory.mktemp("library")
    build_version(CollectionFolder(data_dir, "default"), make_library(), settings=tiny_settings)
    return data_dir


@pytest.fixture(scope="session")
def searcher(library_data_dir: Path) -> Searcher:
    return Searcher.open(data_dir=library_data_dir)


@pytest.fixture
def copied_data_dir(library_data_dir: Path, tmp_path: Path) -> Path:
    """A copy of the library that a test may change or break."""
    return Path(shutil.copytree(library_data_dir, tmp_path / "data"))


@pytest.fixture
def build(tmp_path: Path, tiny_settings: IndexSettings) -> Callable[..., Searcher]:
    """Index documents in a new collection and open it."""

    def build_and_open(*documents: Document, **settings: object) -> Searcher:
        folder = CollectionFolder(tmp_path / "built", "default")
        build_version(folder, documents, settings=tiny_settings, **settings)  # type: ignore[arg-type]
        return Searcher.open(data_dir=tmp_path / "built")

    return build_and_open


@pytest.fixture(scope="session")
def fault_server(tmp_path_factory: pytest.TempPathFactory) -> FaultServer:
    """Runs ``trine`` in forks that fail."""
    return FaultServer(tmp_path_factory.mktemp("faults") / "points")


def expect(subject: Any) -> Any:  # noqa: ANN401
    """Playwright's assertions, which wait for what they assert.

    What a page shows right after a click is asked for by these: the next page, or what scripts
    fetch for this one, may still be arriving.
    """
    # Read late, for Playwright may be absent.
    from playwright.sync_api import expect as expect_in_time

    expect_in_time.set_options(timeout=30_000)
    return expect_in_time(subject)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Serve an application from a thread; gives its address."""
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def library_address(library_data_dir: Path) -> Iterator[str]:
    """Address of a server over the library."""
    with served(Settings(library_data_dir)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield opened
        opened.close()
