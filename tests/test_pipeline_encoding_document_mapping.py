"""The map of a version: drawn, kept where it was, extended, drawn anew; and its clusters' names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest.documents import Document
from ingest.errors import IndexCorruptError
from pipeline.encoding.build import build_version
from pipeline.encoding.cluster_names import name_clusters
from pipeline.encoding.document_mapping import MAX_CHANGED_DOCUMENTS
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_map import MAP_FOLDER, UNMAPPED, DocumentMap, read_document_map
from pipeline.version.manifest import hash_files, read_manifest, write_manifest
from pipeline.version.open_version import OpenVersion, open_version
from pipeline.version.passage_words import cut_passage_words


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "data", "default")


def current(folder: CollectionFolder) -> OpenVersion:
    return open_version(folder.version_path(folder.current()))


def mapped(folder: CollectionFolder) -> DocumentMap:
    found = current(folder).map
    assert found is not None
    return found


def places(folder: CollectionFolder) -> dict[str, tuple[float, float]]:
    version = current(folder)
    assert version.map is not None
    doc_ids = version.documents.doc_ids(range(version.manifest.n_documents))
    return dict(zip(doc_ids, map(tuple, version.map.positions.tolist()), strict=True))


def map_files(folder: CollectionFolder) -> dict[str, str]:
    files = folder.manifest(folder.current()).files
    return {name: digest for name, digest in files.items() if name.startswith(f"{MAP_FOLDER}/")}


def test_every_document_lies_somewhere_in_a_named_cluster(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=tiny_settings)
    found = mapped(folder)
    assert found.signal == "bert"
    assert found.positions.shape == (len(library), 2)
    assert (np.abs(found.positions) <= 1).all()
    assert found.counts().sum() == len(library)
    assert len(found.names) == len(found.counts()) > 1
    assert all(terms for terms in found.names)
    assert found.was_drawn.all()


def test_building_in_full_again_draws_the_same_bytes(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=tiny_settings)
    before = map_files(folder)
    assert len(before) == 9
    build_version(folder, library, settings=tiny_settings, full=True)
    assert map_files(folder) == before


def test_a_few_new_documents_leave_the_picture_where_it_was(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    before, drawing = places(folder), mapped(folder).drawing_id
    edited = replace(library[5], text=library[40].text, title=library[40].title)
    added = replace(library[20], doc_id="aaa-copy")
    build_version(
        folder, [added, *library[:5], edited, *library[7:]], settings=tiny_settings, refit=False
    )
    after = places(folder)
    stayed = {entry.doc_id for entry in (*library[:5], *library[7:])}
    assert {doc_id: after[doc_id] for doc_id in stayed} == {
        doc_id: before[doc_id] for doc_id in stayed
    }
    # The same text lies in the same place, whenever it came.
    assert after["aaa-copy"] == pytest.approx(before[library[20].doc_id], abs=1e-3)
    assert after[edited.doc_id] == pytest.approx(before[library[40].doc_id], abs=1e-3)
    assert library[6].doc_id not in after
    found = mapped(folder)
    assert found.drawing_id == drawing
    assert int(np.count_nonzero(~found.was_drawn)) == 2
    assert found.changed_documents == pytest.approx(2 / len(library))
    old = folder.version_path(first.version) / MAP_FOLDER / "landmarks.npy"
    assert old.samefile(current(folder).folder / MAP_FOLDER / "landmarks.npy")


def test_the_map_is_linked_where_only_metadata_changed(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    first = build_version(folder, library, settings=tiny_settings)
    build_version(folder, [replace(library[0], metadata={}), *library[1:]], settings=tiny_settings)
    parent = folder.version_path(first.version)
    for name in map_files(folder):
        assert (parent / name).samefile(current(folder).folder / name)


def test_a_picture_of_other_documents_is_drawn_anew(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=tiny_settings)
    drawing = mapped(folder).drawing_id
    n_gone = int(len(library) * MAX_CHANGED_DOCUMENTS) + 1
    build_version(folder, library[n_gone:], settings=tiny_settings)
    anew = mapped(folder)
    assert anew.drawing_id != drawing
    assert anew.was_drawn.all()
    assert anew.n_drawn == len(library) - n_gone


def test_refit_draws_anew(
    folder: CollectionFolder, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    build_version(folder, library, settings=tiny_settings)
    build_version(folder, library[3:], settings=tiny_settings)
    assert mapped(folder).n_drawn == len(library)
    build_version(folder, library[3:], settings=tiny_settings, refit=True)
    assert mapped(folder).n_drawn == len(library) - 3


@pytest.mark.parametrize("signals", [["bm25"], ["bm25", "tfidf"], ["word2vec"]])
def test_without_bert_another_signal_is_drawn_or_none(
    folder: CollectionFolder,
    tiny_settings: IndexSettings,
    library: list[Document],
    signals: list[str],
) -> None:
    build_version(folder, library, settings=tiny_settings.with_signals(signals))
    found = current(folder).map
    if signals == ["bm25"]:
        assert found is None
        # Nothing is missing, so there is nothing to build.
        again = build_version(folder, library, settings=tiny_settings.with_signals(signals))
        assert not again.published
        return
    assert found is not None
    assert found.signal == signals[-1]
    # What has no known word has no embedding, and no place.
    lost = current(folder).documents.row("stop-words")
    assert found.clusters[lost] == UNMAPPED
    assert np.isnan(found.positions[lost]).all()


def test_a_version_without_a_map_opens_and_the_next_build_draws_one(
    copied_data_dir: Path, tiny_settings: IndexSettings, library: list[Document]
) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    own = folder.version_path(folder.current())
    shutil.rmtree(own / MAP_FOLDER)
    files, total_bytes = hash_files(own)
    write_manifest(own, replace(read_manifest(own), files=files, total_bytes=total_bytes))
    assert current(folder).map is None
    summary = build_version(folder, library, settings=tiny_settings)
    assert summary.published
    assert summary.passages_encoded == 0
    assert mapped(folder).was_drawn.all()
    assert not build_version(folder, library, settings=tiny_settings).published


def _about(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "map.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _array(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize(
    "change",
    [
        _about(clusters=[]),
        _about(clusters=[[1]]),
        _about(signal=3),
        _about(n_drawn="many"),
        _array("positions", np.zeros((3, 2), np.float32)),
        _array("positions", np.full((65, 2), 7, np.float32)),
        _array("positions", np.zeros((65, 2), np.float64)),
        _array("clusters", np.full(65, 99, np.int16)),
        _array("clusters", np.full(65, -2, np.int16)),
        _array("was_drawn", np.ones(3, np.bool_)),
        _array("landmarks", np.zeros((0, 4), np.float32)),
        _array("centers", np.full((4, 2), np.nan, np.float32)),
        lambda folder: (folder / "map.json").write_text("[" * 100_000),
        lambda folder: (folder / "mean.npy").unlink(),
    ],
)
def test_damage_is_told(
    copied_data_dir: Path, library: list[Document], change: Callable[[Path], None]
) -> None:
    (own,) = copied_data_dir.glob("default/versions/*/map")
    assert read_document_map(own, 65) is not None
    # No build writes to files of another version, so neither does this.
    change(own)
    with pytest.raises(IndexCorruptError):
        read_document_map(own, 65)


def test_clusters_are_named_by_what_the_others_do_not_say() -> None:
    texts = [
        *["the violin sounds every evening in the hall", "violins and cellos sound in the hall"]
        * 3,
        *["the whale swims every evening", "whales swim below the ice"] * 3,
    ]
    clusters = np.repeat(np.array([0, 1], np.int16), 6)
    table = cut_passage_words(texts, ["en"])
    names = name_clusters(clusters, 2, np.arange(13), table, ["en"])
    assert names[0][0] in {"hall", "sound", "sounds", "violin", "violins"}
    assert set(names[1][:2]) <= {"whale", "whales", "swim", "swims"}
    # One stem, one word; what both say, and stop words, name neither.
    assert not {"the", "evening", "every"} & {*names[0][:3], *names[1][:3]}
    stems = [term.rstrip("s") for term in names[0]]
    assert len(set(stems)) == len(stems)


def test_documents_without_words_have_clusters_without_names() -> None:
    table = cut_passage_words(["", "the of", "12 34"], ["en"])
    names = name_clusters(np.zeros(3, np.int16), 1, np.arange(4), table, ["en"])
    assert names == [()]
