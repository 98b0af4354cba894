"""Collections in several languages, and synonyms, as a searcher notices them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ingest.documents import Document
from pipeline.command_line.main import main
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
from pipeline.search.query_words import SYNONYM_WEIGHT
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder

GERMAN = [
    Document("de/1", "", "Die Häuser am Ufer des Sees wurden von den Fischern selbst gebaut."),
    Document("de/2", "", "Nach dem Winter verließen die Soldaten ihre Burg und gingen heim."),
    Document("de/3", "", "Der Zug fährt nicht, weil auf der Strecke ein Baum gefallen ist."),
]
ENGLISH = [
    Document("en/1", "", "The connections between the islands were cut by the winter storm."),
    Document("en/2", "", "Nobody knows who built the castle, but soldiers lived in it once."),
    Document("en/3", "", "A train does not run while there is a fallen tree on the line."),
]


def opened(
    folder: Path,
    documents: Sequence[Document],
    synonyms: Mapping[str, Sequence[str]] | None = None,
    signals: tuple[str, ...] = ("bm25",),
) -> Searcher:
    settings = IndexSettings(signals=signals).with_synonyms(synonyms or {})
    build_version(CollectionFolder(folder, "default"), documents, settings=settings)
    return Searcher.open(data_dir=folder)


def ids(searcher: Searcher, text: str) -> list[str]:
    return [hit.doc_id for hit in searcher.search(Query(text)).hits]


def languages(folder: Path) -> list[str]:
    collection = CollectionFolder(folder, "default")
    return collection.manifest(collection.current()).languages


def test_each_document_is_found_by_other_forms_of_its_words(tmp_path: Path) -> None:
    searcher = opened(tmp_path, GERMAN + ENGLISH)
    assert languages(tmp_path) == ["de", "en"]
    assert ids(searcher, "Haus") == ["de/1"]
    assert ids(searcher, "Soldat in der Burg") == ["de/2"]
    assert ids(searcher, "connecting") == ["en/1"]
    assert ids(searcher, "why is the island connected") == ["en/1"]
    # One query, both languages.
    assert set(ids(searcher, "island Haus")) == {"de/1", "en/1"}
    hit = searcher.search(Query("Haus")).hits[0]
    marked = [hit.passage.text[m.start : m.end] for m in hit.highlights if m.kind == "keyword"]
    assert marked == ["Häuser"]


def test_a_word_stemmed_twice_counts_once(tmp_path: Path) -> None:
    searcher = opened(tmp_path, [*GERMAN, *ENGLISH])
    hit = searcher.search(Query("winter storm")).hits[0]
    assert hit.doc_id == "en/1"
    assert sum(part.contribution for part in hit.explanation.values()) == hit.score
    assert 0 <= hit.probability <= 1


def test_metadata_says_more_than_the_detector(tmp_path: Path) -> None:
    short = [Document("a", "", "Häuser", metadata={"language": "de-DE"})]
    searcher = opened(tmp_path, short)
    assert languages(tmp_path) == ["de"]
    assert ids(searcher, "Haus") == ["a"]


def test_english_collections_stay_as_they_were(tmp_path: Path) -> None:
    signals = ("bm25", "tfidf", "word2vec")
    plain = [Document(d.doc_id, d.title, d.text) for d in ENGLISH]
    searcher = opened(tmp_path / "a", plain, signals=signals)
    assert languages(tmp_path / "a") == ["en"]
    assert [hit.doc_id for hit in searcher.search(Query("connected islands", k=1)).hits] == ["en/1"]
    settings = tmp_path / "a" / "default" / "versions" / searcher.version / "tfidf" / "encoder"
    assert "languages" not in json.loads((settings / "settings.json").read_text("utf-8"))


def test_documents_in_a_stray_language_are_still_found_by_their_words(tmp_path: Path) -> None:
    many = [Document(f"en/{n}", "", f"{ENGLISH[n % 3].text} Number {n}.") for n in range(120)]
    searcher = opened(tmp_path, [*many, GERMAN[0]])
    assert languages(tmp_path) == ["en"]
    assert ids(searcher, "Fischern") == ["de/1"]


CITY = [
    Document("auto", "", "An automobile is parked in front of the town hall."),
    Document("motor", "", "The tax on any motor vehicle was raised again."),
    Document("motors", "", "A motor drives the pump of the fountain."),
    Document("york", "", "The mayor of New York spoke of the harbour."),
    Document("car", "", "One car only may pass the gate at a time."),
]
SYNONYMS = {
    "car": ["automobile", "motor vehicle"],
    "automobile": ["car", "motor vehicle"],
    "motor vehicle": ["car", "automobile"],
    "nyc": ["new york"],
}


def test_synonyms_find_more_and_rank_below_the_word_itself(tmp_path: Path) -> None:
    without = opened(tmp_path / "without", CITY)
    searcher = opened(tmp_path / "with", CITY, SYNONYMS)
    assert ids(without, "car") == ["car"]
    found = ids(searcher, "cars")
    assert found[0] == "car"
    # Both words of a synonym must occur.
    assert set(found) == {"car", "auto", "motor"}
    assert ids(searcher, "motor vehicles")[0] == "motor"
    assert {"car", "auto"} <= set(ids(searcher, "motor vehicles"))
    # One way only.
    assert ids(searcher, "nyc") == ["york"]
    assert ids(searcher, "new york") == ids(without, "new york") == ["york"]
    # A query without synonyms is scored as ever.
    one, other = (found.search(Query("harbour gate")).hits for found in (without, searcher))
    assert [(hit.doc_id, hit.score) for hit in one] == [(hit.doc_id, hit.score) for hit in other]
    hit = next(h for h in searcher.search(Query("car")).hits if h.doc_id == "auto")
    alone = without.search(Query("automobile")).hits[0]
    assert alone.explanation["bm25"].raw is not None
    assert hit.explanation["bm25"].raw == pytest.approx(
        SYNONYM_WEIGHT * alone.explanation["bm25"].raw
    )
    marked = [hit.passage.text[m.start : m.end] for m in hit.highlights if m.kind == "keyword"]
    assert marked == ["automobile"]


def test_synonyms_are_stored_with_the_version_and_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for document in CITY:
        (notes / f"{document.doc_id}.txt").write_text(document.text, "utf-8")
    file = tmp_path / "synonyms.txt"
    file.write_text("nyc => new york\n", "utf-8")

    def trine(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main([*map(str, arguments), "--data-dir", str(tmp_path / "data")])
        return int(done.value.code or 0), *capsys.readouterr()

    def found() -> list[str]:
        out = trine("search", "nyc", "--json")[1]
        return [hit["doc_id"] for hit in json.loads(out)["hits"]]

    assert trine("index", notes, "--signals", "bm25")[0] == 0
    assert found() == []
    assert trine("index", "--synonyms", file)[0] == 0
    file.unlink()
    assert found() == ["york.txt"]
    assert "nothing changed" in trine("index")[1]
    (notes / "more.txt").write_text("More.", "utf-8")
    trine("index")
    assert found() == ["york.txt"]
    # An empty file takes them back.
    file.write_text("# none\n", "utf-8")
    trine("index", "--synonyms", file)
    assert found() == []
    file.write_text("car\n", "utf-8")
    status, _, err = trine("index", "--synonyms", file)
    assert status == 1
    assert err.splitlines() == [err.strip()]
    assert f"{file}, line 1" in err
