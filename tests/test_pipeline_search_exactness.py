"""Exact things first: invariants, held on a corpus made of look-alikes."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search import ranking as ranking_module
from pipeline.search.query import Query
from pipeline.search.query_text import identifiers
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder

IDENTIFIERS = [
    "os.path.join",
    "str.__add__",
    "__init__",
    "read_line",
    "_private",
    "ThreadPool",
    "HTTPServer",
    "ERR-1234",
    "E0308",
    "HTTP404",
    "CVE-2021-44228",
    "0x80070005",
]
# Alike to the words index, and yet not the same tokens.
LOOK_ALIKES = [
    "os path join",
    "os.path.joiner",
    "str add",
    "init",
    "my__init__s",
    "read line",
    "read_lines",
    "private",
    "thread pool",
    "threadpool",
    "http server",
    "ERR 1234",
    "ERR-12345",
    "e0308",
    "http 404",
    "CVE-2021-442280",
    "0x800700051",
]
SENTENCE = "how to open the file server with a timeout when this program reads its socket"
PLAIN = SENTENCE.split()
QUOTED = ["open the file", "the program", "Timeout", "READ_LINE", "thread pool", "os path"]


def look_alike_corpus() -> list[Document]:
    """Documents of plain words, identifiers and what looks like them; ERR-1234 in most."""
    generator = np.random.default_rng(7)
    documents = []
    for number in range(330):
        pieces = generator.choice(PLAIN, 12).tolist()
        pieces += generator.choice(IDENTIFIERS[:7] + IDENTIFIERS[8:], 2).tolist()
        pieces += generator.choice(LOOK_ALIKES, 3).tolist()
        pieces += generator.choice(QUOTED, 1).tolist()
        pieces += ["ERR-1234"] * (number % 3 != 0)
        generator.shuffle(pieces)
        named = (f"mod.{IDENTIFIERS[number % 5]}{number}",) if number % 4 else (IDENTIFIERS[0],)
        documents.append(
            Document(
                f"doc-{number:03d}",
                " ".join(pieces[:3]) if number % 2 else "",
                ". ".join(pieces[3:]),
                metadata={"group": number % 5},
                names=named if number < 40 else (),
            )
        )
    return documents


@pytest.fixture(scope="module")
def look_alikes(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Searcher:
    folder = tmp_path_factory.mktemp("look-alikes")
    build_version(CollectionFolder(folder, "default"), look_alike_corpus(), settings=tiny_settings)
    return Searcher.open(data_dir=folder)


CORPUS = {document.doc_id: document for document in look_alike_corpus()}


def holds(document: Document, asked: str, *, equal_case: bool = False) -> bool:
    """Whether a document holds a string as a token, read character by character."""
    text = "(?<!\\w)" + "\\s+".join(map(re.escape, asked.split())) + "(?!\\w)"
    folded = {name.casefold() for name in (document.doc_id, document.title, *document.names)}
    flags = re.NOFLAG if equal_case else re.IGNORECASE
    return (not equal_case and asked.casefold() in folded) or any(
        re.search(text, part, flags) for part in (document.title, document.text)
    )


PIECE = st.one_of(
    st.sampled_from(IDENTIFIERS),
    st.sampled_from(QUOTED).map(lambda text: f'"{text}"'),
    st.sampled_from(IDENTIFIERS).map(lambda text: f'"{text}"'),
    st.sampled_from(IDENTIFIERS).map(lambda text: f"+{text}"),
)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    before=st.lists(st.sampled_from(PLAIN), max_size=5),
    asked=st.lists(PIECE, min_size=1, max_size=3),
    after=st.lists(st.sampled_from(PLAIN), max_size=3),
    options=st.fixed_dictionaries(
        {},
        optional={
            "filter": st.just("group:[1 TO 3]"),
            "weights": st.sampled_from([{"bert": 1.0}, {"tfidf": 3.0, "bert": 0.5}]),
            "fusion": st.sampled_from(["z_score", "reciprocal_rank"]),
            "signals": st.just(("word2vec", "bert")),
            "min_probability": st.sampled_from([0.05, 0.5]),
        },
    ),
)
def test_documents_that_hold_more_of_what_was_asked_come_first(
    look_alikes: Searcher,
    before: list[str],
    asked: list[str],
    after: list[str],
    options: dict[str, object],
) -> None:
    text = " ".join([*before, *asked, *after])
    quoted = {piece.strip('"') for piece in asked if piece.startswith('"')}
    wanted = quoted | {piece.strip('+"') for piece in asked}
    found = look_alikes.search(Query(text, k=330, highlight=False, **options))  # type: ignore[arg-type]
    # CamelCase is its capitals, unless it is quoted.
    by_case = {one for one in wanted - quoted if one in {"ThreadPool", "HTTPServer"}}
    held = [
        sum(holds(CORPUS[hit.doc_id], one, equal_case=one in by_case) for one in wanted)
        for hit in found.hits
    ]
    assert held == sorted(held, reverse=True)
    assert found.total == len(held)


@pytest.mark.parametrize("depth", [5, 200])
@pytest.mark.parametrize("text", ["ERR-1234", "why does ERR-1234 stop the server", '"err-1234"'])
def test_more_documents_than_candidates_hold_an_identifier(
    look_alikes: Searcher, text: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking_module, "DEPTH", depth)
    having = {doc_id for doc_id, document in CORPUS.items() if holds(document, "ERR-1234")}
    assert len(having) > 200
    paged = list(
        itertools.chain.from_iterable(
            [hit.doc_id for hit in look_alikes.search(Query(text, k=30, page=page)).hits]
            for page in range(1, 12)
        )
    )
    assert len(paged) == len(set(paged))
    assert set(paged[: len(having)]) == having
    whole = [hit.doc_id for hit in look_alikes.search(Query(text, k=330)).hits]
    assert paged == whole


def test_a_single_signal_by_name_ranks_as_it_ranks(look_alikes: Searcher) -> None:
    for hit in look_alikes.search(Query("open ERR-1234", k=50, signals=("bert",))).hits:
        assert hit.exactness == 0


def test_an_identifier_in_a_sentence_is_no_proof_of_relevance(look_alikes: Searcher) -> None:
    sentence = look_alikes.search(Query("boil an egg and bake bread with HTTPServer", k=1))
    alone = look_alikes.search(Query("HTTPServer", k=1))
    assert sentence.hits[0].exactness > 0
    assert sentence.hits[0].probability < 0.5 < alone.hits[0].probability


NAMES = [
    "Path",
    "path",
    "PATH/to",
    "__init__",
    "str.__add__",
    "Straße",
    "STRASSE 5",
    "Cafe\u0301 au lait",
    "+required -excluded",
    "-open",
    "+server",
    "open -server",
    "group:1",
    "group:1 open",
    'the "quoted title" of it',
    '"quoted"',
    '"',
    "the of and",
    "What is it?",
    "json.dumps(obj, *, sort_keys=False)...",
    "(a) AND [1 TO 2] OR NOT b",
    "C++",
    "a:b",
    "std::vector",
    "???",
    "-",
    "🔥",
    "信息检索",
    "İstanbul",
    "two  blanks\tand a\nline",
    " ".join(f"word{number}" for number in range(40)),
    'long "title" ' + " ".join(f"word{number}" for number in range(40)) + " -excluded",
    "x" * 3000,
    "os.path.join ThreadPool",
]


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Searcher:
    """Each name is an id, a title or a further name; every text mentions other documents' names."""
    folder = tmp_path_factory.mktemp("odd-names")
    documents = []
    for number, name in enumerate(NAMES):
        text = " and ".join(NAMES[(number + step) % len(NAMES)][:60] for step in (1, 2, 3, 4))
        where = number % 3
        documents.append(
            Document(
                name if where == 0 else f"d{number}",
                name if where == 1 else "",
                text,
                metadata={"group": number % 3},
                names=(name,) if where == 2 else (),
            )
        )
        documents.append(Document(f"copy-{number}", f"about {name[:80]}", f"{name} {name} {text}"))
    build_version(CollectionFolder(folder, "default"), documents, settings=tiny_settings)
    return Searcher.open(data_dir=folder)


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


@pytest.mark.parametrize("fusion", ["min_max", "reciprocal_rank"])
@pytest.mark.parametrize(
    "change",
    [
        str,
        str.upper,
        str.lower,
        lambda name: f"  {name}\n",
        lambda n: unicodedata.normalize("NFD", n),
    ],
    ids=["as it is", "upper", "lower", "blanks", "decomposed"],
)
def test_every_odd_name_ranks_its_document_first(
    odd_names: Searcher, change: Callable[[str], str], fusion: str
) -> None:
    for name in NAMES:
        typed = change(name)
        hits = odd_names.search(Query(typed, k=5, fusion=fusion)).hits
        known = [[hit.doc_id, hit.title, *hit.names] for hit in hits]
        named = [folded(typed) in map(folded, names) for names in known]
        assert named == sorted(named, reverse=True), typed
        same = [folded(name) == folded(typed) for name in NAMES]
        # Case folding is not always undone by changing case; where it is, the document is found.
        assert sum(named) == sum(same), typed
        exact = [" ".join(typed.split()) in names for names in known]
        assert exact == sorted(exact, reverse=True), typed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use os.path.join() here.", ["os.path.join"]),
        ("ThreadPool's", ["ThreadPool"]),
        ("x_1 == y", ["x_1"]),
        ("https://example.org/a_b", ["example.org", "a_b"]),
        ("CamelCase-based", ["CamelCase"]),
        ("E0308, HTTP404; ERR-1234.", ["E0308", "HTTP404", "ERR-1234"]),
        ("IL-6 CD40 p53 mRNA siRNA H2A.Z IgG McDonald 3.14 e.g. U.S. _ __", []),
        ("Read the file, then close it", []),
        ("信息检索 naïve état", []),
    ],
)
def test_what_looks_like_an_identifier(text: str, expected: list[str]) -> None:
    assert identifiers(text) == expected
