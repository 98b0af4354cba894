"""What a user of the search pipeline notices."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ingest.documents import Document
from ingest.errors import QueryError
from pipeline.search import ranking as ranking_module
from pipeline.search.query import MAX_QUERY_CHARACTERS, Query
from pipeline.search.searcher import Searcher
from pipeline.version import vector_index

QUERIES = [
    "open a file",
    "socket timeout",
    "how do I parse a date",
    "random float rounding",
    "regex",
    '"read the" file',
    "+server client",
    "file -copy",
    "subject:time clock",
    "the of and",
    "chapter gamma",
]


def total_contribution(hit: dict[str, object]) -> float:
    explanation = hit["explanation"]
    assert isinstance(explanation, dict)
    score = 0.0
    for part in explanation.values():
        score += part["contribution"]
    return score


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("fusion", ["min_max", "z_score", "reciprocal_rank"])
def test_contributions_add_up_exactly_to_the_score(
    searcher: Searcher, text: str, fusion: str
) -> None:
    answer = searcher.search(Query(text, k=50, fusion=fusion))
    assert answer.hits
    for hit in answer.hits:
        assert total_contribution(hit.to_json()) == hit.score
        for part in hit.explanation.values():
            assert part.contribution == part.weight * part.normalized
            assert 0 <= part.normalized <= 1


@pytest.mark.parametrize("text", QUERIES)
def test_every_candidate_is_scored_by_every_signal(searcher: Searcher, text: str) -> None:
    for hit in searcher.search(Query(text, k=50)).hits:
        assert list(hit.explanation) == ["bm25", "tfidf", "word2vec", "bert"]
        for name, part in hit.explanation.items():
            if part.raw is None:
                assert part.contribution == 0
            alone = searcher.search(Query(text, k=100, signals=(name,)))
            raw = {found.doc_id: found.explanation[name].raw for found in alone.hits}
            if hit.doc_id in raw and part.raw is not None:
                assert part.raw == pytest.approx(raw[hit.doc_id], abs=1e-6)


@pytest.mark.parametrize("text", QUERIES)
def test_hits_are_ordered_by_score_then_doc_id(searcher: Searcher, text: str) -> None:
    hits = searcher.search(Query(text, k=100)).hits
    assert [(-hit.score, hit.doc_id) for hit in hits] == sorted(
        (-hit.score, hit.doc_id) for hit in hits
    )
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len({hit.doc_id for hit in hits}) == len(hits)


@pytest.mark.parametrize("depth", [2, 5, 300])
@pytest.mark.parametrize("text", QUERIES)
def test_pages_neither_overlap_nor_gap_and_total_is_exact(
    searcher: Searcher, text: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small depth makes most matches lie beyond it, as in a large collection.
    monkeypatch.setattr(ranking_module, "DEPTH", depth)
    whole = searcher.search(Query(text, k=1000))
    assert whole.total == len(whole.hits)
    paged = []
    for page in range(1, math.ceil(whole.total / 7) + 2):
        answer = searcher.search(Query(text, k=7, page=page))
        assert answer.total == whole.total
        paged += [(hit.doc_id, hit.score, hit.rank) for hit in answer.hits]
    assert paged == [(hit.doc_id, hit.score, hit.rank) for hit in whole.hits]


def test_facets_count_exactly_what_matches(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking_module, "DEPTH", 4)
    for text in QUERIES:
        answer = searcher.search(Query(text, k=1000, facets=("subject", "tags")))
        for field in ("subject", "tags"):
            counted: dict[str, int] = {}
            for hit in answer.hits:
                values = hit.metadata.get(field, [])
                for value in [values] if isinstance(values, str) else values:
                    counted[str(value)] = counted.get(str(value), 0) + 1
            assert {entry.value: entry.count for entry in answer.facets[field]} == counted


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("subject:time", lambda m: m.get("subject") == "time"),
        ("subject:TIME", lambda m: m.get("subject") == "time"),
        ("number:3", lambda m: m.get("number") == 3),
        ("number:3.0", lambda m: m.get("number") == 3),
        ("number:[3 TO 5]", lambda m: 3 <= m.get("number", -1) <= 5),
        ("number:[* TO 2]", lambda m: m.get("number", 99) <= 2),
        ("ratio:[0.5 TO 1]", lambda m: 0.5 <= m.get("ratio", -1) <= 1),
        ("published:[2011 TO 2012-06]", lambda m: "2011" <= m.get("published", "") < "2012-07"),
        ("published:2011-01-15", lambda m: m.get("published") == "2011-01-15"),
        ("draft:true", lambda m: m.get("draft") is True),
        ("tags:socket", lambda m: "socket" in m.get("tags", [])),
        ("NOT subject:time", lambda m: m.get("subject") != "time"),
        (
            "subject:time AND (number:1 OR number:2)",
            lambda m: m.get("subject") == "time" and m.get("number") in (1, 2),
        ),
        ("subject:time number:1", lambda m: m.get("subject") == "time" and m.get("number") == 1),
        (
            "subject:time OR subject:text AND number:1",
            lambda m: (
                m.get("subject") == "time" or (m.get("subject") == "text" and m.get("number") == 1)
            ),
        ),
        ('subject:"time"', lambda m: m.get("subject") == "time"),
    ],
)
def test_filters_keep_exactly_what_they_say(
    searcher: Searcher,
    library: list[Document],
    condition: str,
    holds: Callable[[dict[str, object]], bool],
) -> None:
    answer = searcher.search(Query("file time document", k=1000, filter=condition))
    expected = {document.doc_id for document in library if holds(dict(document.metadata))}
    found = {hit.doc_id for hit in answer.hits}
    assert expected
    # Documents without any embedding or word of the query cannot match.
    assert found == expected - {"title-only", "stop-words"} or found == expected
    assert answer.total == len(found)


@pytest.mark.parametrize(
    "condition",
    [
        "nonsense:1",
        "subject:",
        "subject:time AND",
        "(subject:time",
        "subject:time)",
        "number:[1 TO]",
        "number:[a TO b]",
        "AND",
        "subject",
        "NOT",
        '"quoted"',
        "(" * 500,
        "NOT " * 900 + "subject:time",
        "x" * 5000,
    ],
)
def test_a_filter_that_makes_no_sense_is_a_clear_error(searcher: Searcher, condition: str) -> None:
    with pytest.raises(QueryError) as caught:
        searcher.search(Query("file", filter=condition))
    assert caught.value.parameter == "filter"
    assert "\n" not in str(caught.value)


def test_required_and_excluded_words_and_phrases(
    searcher: Searcher, library: list[Document]
) -> None:
    def ids(text: str) -> set[str]:
        return {hit.doc_id for hit in searcher.search(Query(text, k=1000)).hits}

    def containing(text: str) -> set[str]:
        return {d.doc_id for d in library if text in f"{d.title}\n{d.text}".lower()}

    assert ids("file +socket") == containing("socket")
    assert not ids("file -socket") & containing("socket")
    phrase = "never changes the socket"
    assert containing(phrase)
    assert ids(f'file +"{phrase}"') == containing(phrase)
    assert not ids(f'file -"{phrase}"') & containing(phrase)


def test_a_quoted_phrase_ranks_what_contains_it_first(
    searcher: Searcher, library: list[Document]
) -> None:
    having = {d.doc_id for d in library if "agree. It never changes the socket" in d.text}
    hits = searcher.search(Query('"agree it never changes the socket" random float', k=100)).hits
    assert having
    assert {hit.doc_id for hit in hits[: len(having)]} == having


@pytest.mark.parametrize("change", [str, str.upper, lambda name: f"  {name} "])
def test_a_name_a_title_or_an_id_ranks_its_document_first(
    searcher: Searcher, library: list[Document], change: Callable[[str], str]
) -> None:
    for document in library:
        for name in {document.doc_id, document.title, *document.names} - {""}:
            if not any(character.isalnum() for character in name):
                continue
            first = searcher.search(Query(change(name), k=1)).hits[0]
            named = {first.doc_id, first.title, *first.names}
            assert name.casefold() in {other.casefold() for other in named}


def test_a_field_in_the_query_filters_only_if_it_exists(searcher: Searcher) -> None:
    hits = searcher.search(Query("clock subject:time", k=100)).hits
    assert {hit.metadata["subject"] for hit in hits} == {"time"}
    assert searcher.search(Query("std::vector https://example.org/a note:x")).hits


def test_sorting_by_a_field(searcher: Searcher) -> None:
    for sort, reverse in (("number", False), ("number:asc", False), ("number:desc", True)):
        hits = searcher.search(Query("file", k=1000, sort=sort)).hits
        numbers = [hit.metadata["number"] for hit in hits if "number" in hit.metadata]
        assert numbers == sorted(numbers, reverse=reverse)  # type: ignore[type-var]
        # Documents without the field come last.
        assert all("number" in hit.metadata for hit in hits[: len(numbers)])


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"text": ""}, "q"),
        ({"text": " \n\t "}, "q"),
        ({"text": "x" * (MAX_QUERY_CHARACTERS + 1)}, "q"),
        ({"k": 0}, "k"),
        ({"k": 1_000_000}, "k"),
        ({"page": 0}, "page"),
        ({"k": 1000, "page": 11}, "page"),
        ({"signals": ("bm26",)}, "signals"),
        ({"signals": ()}, "signals"),
        ({"weights": {"bert": math.nan}}, "weights"),
        ({"weights": {"bert": -1.0}}, "weights"),
        ({"weights": {"bm25": 0.0}}, "weights"),
        ({"fusion": "magic"}, "fusion"),
        ({"min_probability": 1.5}, "min_probability"),
        ({"facets": ("nothing",)}, "facets"),
        ({"sort": "nothing"}, "sort"),
        ({"sort": "number:sideways"}, "sort"),
    ],
)
def test_a_parameter_out_of_range_is_named(
    searcher: Searcher, arguments: dict[str, object], parameter: str
) -> None:
    with pytest.raises(QueryError) as caught:
        searcher.search(Query(**{"text": "file", **arguments}))  # type: ignore[arg-type]
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    "text",
    [
        "the of and to",
        "???",
        '- + " -" +"',
        "🔥🎉",
        "مرحبا بالعالم",
        "你好",
        "\x00\x01 file",
        "file\u202e\u0000<script>",
        "a" * MAX_QUERY_CHARACTERS,
        " ".join(f"w{n}" for n in range(2000))[:MAX_QUERY_CHARACTERS],
        "file " * (MAX_QUERY_CHARACTERS // 5),
        '"' * 501,
        "+" * 50,
        "-file",
        "AND OR NOT",
        "\\ * ? ~ ^ : [ ] { } ( )",
        "\ud800 lone",
    ],
)
def test_odd_queries_get_a_sensible_answer(searcher: Searcher, text: str) -> None:
    answer = searcher.search(Query(text))
    assert answer.total >= len(answer.hits)
    for hit in answer.hits:
        assert total_contribution(hit.to_json()) == hit.score


def test_a_query_without_any_word_finds_nothing(searcher: Searcher) -> None:
    answer = searcher.search(Query("??? !!!"))
    assert answer.hits == []
    assert answer.total == 0
    assert answer.no_good_result


def test_min_probability_leaves_out_and_counts_exactly(searcher: Searcher) -> None:
    everything = searcher.search(Query("open the file", k=1000))
    for threshold in (0.0, 0.05, 0.3, 0.9, 1.0):
        answer = searcher.search(Query("open the file", k=1000, min_probability=threshold))
        expected = [h.doc_id for h in everything.hits if h.probability >= threshold]
        assert [hit.doc_id for hit in answer.hits] == expected
        assert answer.total == len(expected)


def test_highlights_mark_the_words_and_one_sentence(searcher: Searcher) -> None:
    answer = searcher.search(Query("copy files to a folder"))
    kinds = [mark.kind for hit in answer.hits for mark in hit.highlights]
    assert "keyword" in kinds
    for hit in answer.hits:
        sentences = [mark for mark in hit.highlights if mark.kind == "semantic"]
        assert len(sentences) <= 1
        for mark in hit.highlights:
            marked = hit.passage.text[mark.start : mark.end]
            assert marked.strip() == marked
            assert marked
            if mark.kind == "keyword":
                assert marked.lower()[:4] in {"copy", "file", "fold"}


def test_the_passage_shown_is_part_of_the_document(searcher: Searcher) -> None:
    hit = searcher.search(Query("the epsilon chapter", k=1)).hits[0]
    document = searcher.document(hit.doc_id)
    assert hit.doc_id == "long"
    assert document.text[hit.passage.start : hit.passage.end] == hit.passage.text
    assert len(hit.passage.text) < len(document.text)


def test_signals_and_weights_can_be_chosen(searcher: Searcher) -> None:
    only = searcher.search(Query("open file", signals=("bm25", "bert")))
    assert list(only.hits[0].explanation) == ["bm25", "bert"]
    weighed = searcher.search(Query("open file", weights={"bm25": 3.0, "tfidf": 1.0}))
    assert [part.weight for part in weighed.hits[0].explanation.values()] == [0.75, 0.25]


def test_one_document_is_enough(build: Callable[..., Searcher]) -> None:
    searcher = build(Document("only", "Lonely", "A single document about penguins."))
    assert [hit.doc_id for hit in searcher.search(Query("penguins")).hits] == ["only"]


def test_a_document_without_known_words_does_no_harm(build: Callable[..., Searcher]) -> None:
    searcher = build(Document("a", "", "🎉"), Document("b", "", "penguins swim"))
    assert searcher.search(Query("penguins")).hits[0].doc_id == "b"
    assert np.isfinite(searcher.search(Query("🎉", k=5)).took_ms)


def test_the_same_query_gives_the_same_answer(searcher: Searcher) -> None:
    first = searcher.search(Query("file server", k=100)).to_json()
    again = searcher.search(Query("file server", k=100)).to_json()
    for answer in (first, again):
        del answer["took_ms"], answer["stages_ms"]
    assert first == again


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("condition", [None, "subject:time OR subject:text"])
def test_candidates_from_an_index_rank_as_a_pass_over_all_rows_ranks(
    searcher: Searcher, text: str, condition: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a large collection does must give what a small one gives."""
    passed = searcher.search(Query(text, k=100, filter=condition))
    monkeypatch.setattr(vector_index, "EXHAUSTIVE_ROWS", 0)
    proposed = searcher.search(Query(text, k=100, filter=condition))
    assert [hit.doc_id for hit in proposed.hits] == [hit.doc_id for hit in passed.hits]
    for one, other in zip(proposed.hits, passed.hits, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.passage == other.passage


def test_a_text_is_a_query_without_options(searcher: Searcher) -> None:
    found, same = searcher.search("open a  file"), searcher.search(Query("open a  file"))
    assert found.query == "open a  file"
    assert (found.total, found.hits) == (same.total, same.hits)
    with pytest.raises(QueryError):
        searcher.search("x" * (MAX_QUERY_CHARACTERS + 1))
