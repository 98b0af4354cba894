"""Re-indexing takes over what stayed the same, and answers as a build from nothing would."""

from __future__ import annotations

import errno
import os
import random
import signal
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import fork_server
import numpy as np
import pytest
from fork_server import SCRIPT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.tfidf import TfidfEncoder
from encoders.word2vec import Word2VecEncoder
from ingest.documents import Document
from pipeline.encoding import inheritance
from pipeline.encoding.build import BuildSummary, build_version
from pipeline.encoding.drift import MAX_CHANGED_DOCUMENTS, MAX_UNKNOWN_WORDS
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.encoder_text import encoder_text
from pipeline.version.manifest import verify_files
from pipeline.version.open_version import OpenVersion, open_version

WORDS = ("file", "socket", "clock", "number", "pattern", "read", "open", "naïve", "Straße", "日本")
FITTED = ("tfidf", "word2vec")
# tantivy names its segments at random, and their order in memory is its own.
COMPARED = ("documents.sqlite", "languages.npy", "metadata", "passages", "spelling", "map", *FITTED)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "data", "default")


@pytest.fixture
def fitted_only(tiny_settings: IndexSettings) -> IndexSettings:
    return tiny_settings.with_signals(["bm25", *FITTED])


def edited(document: Document, text: str = "The file of a program must agree.") -> Document:
    return replace(document, text=f"{document.text} {text}")


def current(folder: CollectionFolder) -> OpenVersion:
    return open_version(folder.version_path(folder.current()))


def file_hashes(folder: CollectionFolder, names: Sequence[str] = COMPARED) -> dict[str, str]:
    files = folder.manifest(folder.current()).files
    return {path: digest for path, digest in files.items() if path.split("/")[0] in names}


def linked_files(folder: CollectionFolder, parent: str) -> set[str]:
    """Files of the current version that are the parent's very files."""
    old, new = folder.version_path(parent), folder.version_path(folder.current())
    return {
        name
        for name in folder.manifest(folder.current()).files
        if (old / name).exists() and (old / name).samefile(new / name)
    }


def assert_sound(folder: CollectionFolder) -> None:
    """Every version is what its manifest says: no build wrote through a shared file."""
    for version in folder.versions():
        path = folder.version_path(version)
        opened = open_version(path)
        assert verify_files(path, opened.manifest) == []
        assert verify_version(opened) == []


QUERIES = ("open the file", "socket timeout", "gamma chapter", "sentence about files", "quaternion")


def answers(folder: CollectionFolder, **options: object) -> list[list[tuple[str, float]]]:
    searcher = Searcher.open(data_dir=folder.data_dir)
    return [
        [
            (hit.doc_id, round(hit.score, 4))
            for hit in searcher.search(Query(text, k=20, **options)).hits  # type: ignore[arg-type]
        ]
        for text in QUERIES
    ]


# ---- what is taken over -------------------------------------------------------------------


def test_an_edit_costs_its_own_documents_only(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    before = current(folder)
    second = build_version(folder, [edited(library[7]), *library[:7], *library[8:]],
                           settings=tiny_settings)  # fmt: skip
    after = current(folder)
    assert (second.changed, second.unchanged) == (1, len(library) - 1)
    assert second.passages_encoded == 1
    assert second.passages_reused == second.passages - 1
    row = after.documents.row(library[7].doc_id)
    for name in FITTED:
        kept = np.delete(np.arange(len(library)), row)
        assert np.array_equal(after.vectors[name].vectors[kept], before.vectors[name].vectors[kept])
        assert not second.drift[name].refitted
        assert second.drift[name].changed_documents == pytest.approx(1 / len(library), abs=1e-6)
        assert after.manifest.signals[name].fit is not None
        assert after.manifest.signals[name].fit.version == first.version
        state = {path for path in after.manifest.files if path.startswith(f"{name}/encoder/")}
        assert state
        assert state <= linked_files(folder, first.version)
    assert_sound(folder)
    # What both share outlives either; nobody may hold the first one open.
    del before
    folder.prune(1)
    assert folder.versions() == [second.version]
    assert_sound(folder)


def test_vectors_are_those_the_kept_encoders_give_every_text(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=fitted_only)
    fitted_on = {encoder_text(entry.title, entry.text) for entry in library}
    added = Document("aaa", "Read", "This document explains how to read the file of a program.")
    changed = [added, *library[:3], edited(library[4]), *library[5:]]
    summary = build_version(folder, changed, settings=fitted_only)
    assert (summary.added, summary.changed, summary.removed) == (1, 1, 1)
    assert not any(drift.refitted for drift in summary.drift.values())
    version = current(folder)
    texts = [encoder_text(entry.title, entry.text) for entry in version.documents.stream()]
    for name in FITTED:
        fresh = version.encoders[name].encode_documents(texts)
        seen = [row for row, text in enumerate(texts) if text in fitted_on]
        assert np.array_equal(version.vectors[name].vectors[seen], fresh[seen])
        if name == "tfidf":
            assert np.array_equal(version.vectors[name].vectors, fresh)
    encoder = version.encoders["tfidf"]
    assert isinstance(encoder, TfidfEncoder)
    sparse = encoder.sparse(texts)
    for part, expected in (
        ("data", sparse.data), ("indices", sparse.indices), ("indptr", sparse.indptr)
    ):  # fmt: skip
        found = np.load(version.folder / "tfidf" / f"sparse_{part}.npy")
        assert np.array_equal(found, expected)


def test_other_settings_alone_link_every_file(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    other = tiny_settings.with_synonyms({"folder": ["directory"]})
    second = build_version(folder, library, settings=other)
    assert second.published
    assert second.passages_reused == second.passages
    linked = linked_files(folder, first.version)
    assert set(folder.manifest(second.version).files) - linked <= {"languages.npy"}
    assert_sound(folder)


def test_other_metadata_alone_links_what_is_made_of_texts(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    tagged = [replace(library[0], metadata={"subject": "changed"}), *library[1:]]
    second = build_version(folder, tagged, settings=tiny_settings)
    assert (second.changed, second.passages_encoded) == (1, 0)
    linked = linked_files(folder, first.version)
    for name in ("passages", "spelling", "bm25", *FITTED, "bert"):
        of_folder = {path for path in folder.manifest(second.version).files
                     if path.startswith(f"{name}/")}  # fmt: skip
        assert of_folder
        assert of_folder <= linked
    hits = Searcher.open(data_dir=folder.data_dir).search(Query("read", filter="subject:changed"))
    assert [hit.doc_id for hit in hits.hits] == [library[0].doc_id]
    assert_sound(folder)


def test_one_more_signal_leaves_the_others(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings.with_signals(["tfidf", "bert"]))
    second = build_version(folder, library, settings=tiny_settings)
    assert second.passages_encoded == 0
    linked = linked_files(folder, first.version)
    assert {"tfidf/vectors.faiss", "bert/vectors.faiss"} <= linked
    assert folder.manifest(second.version).signals["word2vec"].n_rows == len(library)
    assert_sound(folder)


def test_another_model_cuts_and_encodes_anew_and_leaves_the_rest(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    other = tiny_settings.with_encoder("bert", precision="bfloat16")
    second = build_version(folder, library, settings=other)
    assert second.passages_encoded == second.passages
    assert "tfidf/vectors.faiss" in linked_files(folder, first.version)
    assert "bert/vectors.faiss" not in linked_files(folder, first.version)
    assert_sound(folder)


def test_moved_documents_are_new_but_not_encoded(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    moved = [replace(entry, doc_id=f"archive/{entry.doc_id}") for entry in library]
    second = build_version(folder, moved, settings=tiny_settings)
    assert (second.added, second.removed) == (len(library), len(library))
    assert (second.passages_encoded, second.passages_reused) == (0, first.passages)
    assert_sound(folder)


def test_the_same_documents_from_another_place_are_remembered_there(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings, sources=["/old"])
    second = build_version(folder, library, settings=tiny_settings, sources=["/new"])
    assert second.published
    assert folder.manifest(second.version).sources == ["/new"]
    assert "bert/vectors.faiss" in linked_files(folder, first.version)
    again = build_version(folder, library, settings=tiny_settings, sources=["/new"])
    assert not again.published


def test_an_edit_near_the_top_encodes_its_neighbourhood(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    chance = random.Random(0)  # noqa: S311
    paragraphs = [
        " ".join(
            " ".join(chance.choices(WORDS, k=chance.randint(3, 20))) + "."
            for _ in range(chance.randint(1, 5))
        )
        for _ in range(200)
    ]
    bert_only = tiny_settings.with_signals(["bert"])
    build_version(folder, [Document("long", "", "\n\n".join(paragraphs))], settings=bert_only)
    paragraphs[1] += " This sentence was added near the top."
    summary = build_version(
        folder, [Document("long", "", "\n\n".join(paragraphs))], settings=bert_only
    )
    assert summary.passages > 200
    assert 1 <= summary.passages_encoded <= 8


# ---- when encoders are fitted again -------------------------------------------------------


def fitted_in(folder: CollectionFolder) -> dict[str, str]:
    signals = folder.manifest(folder.current()).signals
    return {name: record.fit.version for name, record in signals.items() if record.fit}


def test_refit_fits_and_equals_a_build_from_nothing(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document], tmp_path: Path
) -> None:
    build_version(folder, library, settings=tiny_settings)
    changed = [*library[:20], edited(library[20]), *library[22:]]
    summary = build_version(folder, changed, settings=tiny_settings, refit=True)
    assert all(drift.refitted for drift in summary.drift.values())
    assert set(fitted_in(folder).values()) == {summary.version}
    other = CollectionFolder(tmp_path / "other", "default")
    build_version(other, changed, settings=tiny_settings)
    assert file_hashes(folder) == file_hashes(other)
    # A passage alone and one among others differ by rounding.
    own, fresh = current(folder).vectors["bert"], current(other).vectors["bert"]
    np.testing.assert_allclose(own.vectors, fresh.vectors, atol=1e-5)
    assert answers(folder) == answers(other)


def test_many_changed_documents_pass_the_bound_and_fit_anew(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=fitted_only)
    n_within = int(MAX_CHANGED_DOCUMENTS * len(library))
    # No new word: only the documents count.
    known = [replace(d, text=d.text + " The file.") for d in library]
    within = build_version(folder, [*known[:n_within], *library[n_within:]], settings=fitted_only)
    assert not any(drift.refitted for drift in within.drift.values())
    assert set(fitted_in(folder).values()) == {first.version}
    # Drift adds up over versions; the same document edited twice counts once.
    again = [edited(known[0], "A file."), *known[1:n_within], *library[n_within:]]
    assert not any(
        drift.refitted
        for drift in build_version(folder, again, settings=fitted_only).drift.values()
    )
    beyond = [*again[:n_within], known[n_within], *library[n_within + 1 :]]
    summary = build_version(folder, beyond, settings=fitted_only)
    assert all(drift.refitted for drift in summary.drift.values())
    assert set(fitted_in(folder).values()) == {summary.version}
    assert summary.drift["tfidf"].changed_documents == 0


def test_new_words_pass_the_bound_and_fit_anew(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=fitted_only)
    before = current(folder).encoders["tfidf"]
    assert isinstance(before, TfidfEncoder)
    n_words = int(before.weigh([encoder_text(d.title, d.text) for d in library]).n_words.sum())
    few = " ".join(f"novelty{n}x" for n in range(int(MAX_UNKNOWN_WORDS * n_words / 2)))
    kept = build_version(folder, [edited(library[0], few), *library[1:]], settings=fitted_only)
    assert not any(drift.refitted for drift in kept.drift.values())
    assert 0 < kept.drift["tfidf"].unknown_words <= MAX_UNKNOWN_WORDS
    many = " ".join(f"novelty{n}x" for n in range(int(MAX_UNKNOWN_WORDS * n_words * 3)))
    summary = build_version(folder, [edited(library[0], many), *library[1:]], settings=fitted_only)
    assert all(drift.refitted for drift in summary.drift.values())
    hits = Searcher.open(data_dir=folder.data_dir).search(Query("novelty3x", signals=("tfidf",)))
    assert hits.hits[0].doc_id == library[0].doc_id


def test_removing_most_documents_fits_anew(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=fitted_only)
    summary = build_version(folder, library[:40], settings=fitted_only)
    assert all(drift.refitted for drift in summary.drift.values())


def test_another_language_fits_anew(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=fitted_only)
    german = [
        Document(f"de{n}", "", "Die Datei wird geöffnet.", metadata={"language": "de"})
        for n in range(2)
    ]
    summary = build_version(folder, [*library, *german], settings=fitted_only)
    assert folder.manifest(summary.version).languages == ["en", "de"]
    assert all(drift.refitted for drift in summary.drift.values())
    assert_sound(folder)


def test_other_arguments_fit_one_signal_anew(
    folder: CollectionFolder, fitted_only: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=fitted_only)
    summary = build_version(
        folder, library, settings=fitted_only.with_encoder("word2vec", window=3)
    )
    assert {name: drift.refitted for name, drift in summary.drift.items()} == {
        "tfidf": False,
        "word2vec": True,
    }


def test_nothing_is_taken_over_from_another_release(
    folder: CollectionFolder,
    tiny_settings: IndexSettings,
    library: list[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    monkeypatch.setattr(inheritance, "distribution_version", lambda _: "99.0")
    second = build_version(folder, [edited(library[0]), *library[1:]], settings=tiny_settings)
    assert linked_files(folder, first.version) == set()
    assert all(drift.refitted for drift in second.drift.values())
    # What bert made of a passage is named by the model alone.
    assert second.passages_encoded == 1
    assert second.unchanged == len(library) - 1


@pytest.mark.parametrize(
    "name", ["bert/vectors.faiss", "tfidf/fit_coverage.npy", "languages.npy", "documents.sqlite"]
)
def test_nothing_is_taken_over_from_a_damaged_parent(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document], name: str
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    expected = answers(folder)
    path = folder.version_path(first.version) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    second = build_version(folder, library, settings=tiny_settings)
    assert second.published
    assert any(first.version in warning and "damaged" in warning for warning in second.warnings)
    assert linked_files(folder, first.version) == set()
    opened = open_version(folder.version_path(second.version), verify=True)
    assert verify_version(opened) == []
    assert answers(folder) == expected


# ---- what goes wrong in the middle --------------------------------------------------------


def test_a_file_system_without_links_gets_copies(
    folder: CollectionFolder,
    fitted_only: IndexSettings,
    library: list[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    first = build_version(folder, library, settings=fitted_only)
    monkeypatch.setattr(os, "link", refuse)
    other = fitted_only.with_synonyms({"folder": ["directory"]})
    second = build_version(folder, library, settings=other)
    assert linked_files(folder, first.version) == set()
    files = [folder.manifest(version).files for version in (first.version, second.version)]
    assert {k: v for k, v in files[0].items() if k.split("/")[0] in COMPARED} == {
        k: v for k, v in files[1].items() if k.split("/")[0] in COMPARED
    }
    assert_sound(folder)


KILLED_WRITER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from pipeline.encoding import corpus_files, document_signals, passage_signal
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

folder = CollectionFolder(Path(sys.argv[1]), "default")
path = folder.version_path(folder.current())
first, *rest = DocumentStore(path).stream()
module, name = {
    "encoder": (document_signals, "link_tree"),
    "rows": (passage_signal, "merge_embeddings"),
    "words": (corpus_files, "write_spelling"),
}[sys.argv[2]]
setattr(module, name, die)
settings = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
build_version(folder, [replace(first, text=first.text + " A file."), *rest], settings=settings)
"""


@pytest.mark.parametrize("point", ["encoder", "rows", "words"])
def test_a_writer_killed_while_it_takes_over_harms_nothing(
    copied_data_dir: Path, point: str
) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    before = folder.current()
    died = fork_server.run(KILLED_WRITER, copied_data_dir, point, function=SCRIPT)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert folder.current() == before
    assert_sound(folder)
    version = current(folder)
    again = build_version(
        folder,
        list(version.documents.stream())[1:],
        settings=IndexSettings.from_manifest(version.manifest.settings),
    )
    assert (again.removed, again.passages_encoded) == (1, 0)
    assert not list(folder.path.rglob("*.building"))
    assert_sound(folder)


# ---- any sequence of edits ----------------------------------------------------------------

texts = st.lists(st.sampled_from([*WORDS, "new.", "\n\n", "Heading\n\n"]), max_size=60).map(
    " ".join
)
documents = st.builds(
    Document,
    doc_id=st.sampled_from([f"{letter}/{n}" for letter in "aäz" for n in range(4)]),
    title=st.sampled_from(["", "Title", "Another title"]),
    text=texts,
    metadata=st.fixed_dictionaries(
        {}, optional={"tag": st.sampled_from("xy"), "language": st.sampled_from(["de", "en"])}
    ),
)
corpora = st.lists(documents, min_size=1, max_size=10, unique_by=lambda d: d.doc_id)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(corpora, min_size=2, max_size=3), st.data())
def test_any_sequence_of_versions_answers_like_a_build_from_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_settings: IndexSettings,
    sequence: list[list[Document]],
    data: st.DataObject,
) -> None:
    root = tmp_path_factory.mktemp("sequence")
    folder = CollectionFolder(root / "own", "default")
    known: dict[str, Document] = {}
    summary: BuildSummary | None = None
    for corpus in sequence:
        # Some documents stay from the version before, in whatever order.
        stayed = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
        known = {**{doc_id: known[doc_id] for doc_id in stayed}, **{d.doc_id: d for d in corpus}}
        refit = corpus is sequence[-1]
        summary = build_version(folder, list(known.values()), settings=tiny_settings, refit=refit)
    assert summary is not None
    assert summary.documents == len(known)
    other = CollectionFolder(root / "other", "default")
    build_version(other, list(known.values()), settings=tiny_settings)
    assert file_hashes(folder) == file_hashes(other)
    own, fresh = current(folder), current(other)
    assert own.manifest.languages == fresh.manifest.languages
    np.testing.assert_allclose(
        own.vectors["bert"].vectors, fresh.vectors["bert"].vectors, atol=1e-5
    )
    for signals in (("bm25",), ("bert",), ("tfidf",), None):
        assert answers(folder, signals=signals) == answers(other, signals=signals)
    assert_sound(folder)


# ---- memory -------------------------------------------------------------------------------


def test_documents_are_never_all_held_at_once(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    """Two thousand documents more take far less memory than their texts."""
    # Long words: what takes time is their number, what would take memory is their length.
    text = " ".join(f"{'long' * 40}{n}" for n in range(25))
    settings = tiny_settings.with_signals(["bm25"])

    def streamed(n_documents: int) -> Iterator[Document]:
        for n in range(n_documents):
            yield Document(f"d{n:05d}", f"Title {n}", f"{text} {n}", metadata={"language": "en"})

    def peak_bytes(n_documents: int) -> int:
        tracemalloc.start()
        try:
            build_version(folder, streamed(n_documents), settings=settings)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The second takes half of its documents over from the first.
    few = peak_bytes(2000)
    assert peak_bytes(4000) - few < 2000 * len(text) / 4


def test_a_word_encoder_is_asked_with_the_same_arguments_only() -> None:
    assert Word2VecEncoder().would_fit_like(Word2VecEncoder())
    assert not Word2VecEncoder().would_fit_like(Word2VecEncoder(window=3))
    assert not Word2VecEncoder().would_fit_like(TfidfEncoder())
    assert not TfidfEncoder().would_fit_like(TfidfEncoder(languages=("de",)))
