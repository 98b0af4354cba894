"""Words: what counts as one, where it stands, what it is folded and stemmed to."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.words import STOP_WORDS, stem, stems, word_spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... --- \n\t", []),
        ("Hello, WORLD!", ["hello", "world"]),
        ("os.path.join", ["os", "path", "join"]),
        ("snake_case __init__", ["snake", "case", "init"]),
        ("ERR-1234 v2.10", ["err", "1234", "v2", "10"]),
        ("ThreadPoolExecutor", ["threadpoolexecutor", "thread", "pool", "executor"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("mRNA IgG McDonald iOS", ["mrna", "igg", "mcdonald", "ios"]),
        ("Ada's it\u2019s JAMES'S", ["ada", "it", "james"]),
        ("don't we'll they're I've", ["don", "we", "they", "i"]),
        ("O'Brien l'homme", ["o", "brien", "l", "homme"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("caf\u00e9 cafe\u0301", ["caf\u00e9", "caf\u00e9"]),
        ("\uff26\uff35\uff2c\uff2c \ufb01ne x\u00b2", ["full", "fine", "x2"]),
        ("İstanbul", ["istanbul"]),
        ("co\u00adoperate می\u200cخواهم", ["cooperate", "میخواهم"]),  # noqa: RUF001
        ("भाषा", ["भाषा"]),
        ("信息检索", ["信息", "息检", "检索"]),
        ("水 in 水素", ["水", "in", "水素"]),
        ("한국어", ["한국", "국어"]),
        ("ｶﾞｲﾄﾞ ガイド", ["ガイ", "イド", "ガイ", "イド"]),
        ("BERT模型v2", ["bert", "模型", "v2"]),
        ("❤️ 😀 \ufe0f", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert [word for _, _, word in word_spans(text)] == expected


def test_spans_count_code_points_of_the_text_as_given() -> None:
    text = "😀 Straße's \u0130x e\u0301."
    assert [text[start:end] for start, end, _ in word_spans(text)] == [
        "Straße",
        "\u0130x",
        "e\u0301",
    ]


def test_camel_case_parts_share_the_span_of_the_whole() -> None:
    assert {(start, end) for start, end, _ in word_spans("a JSONDecodeError")[1:]} == {(2, 17)}


@given(st.text())
def test_words_and_spans_agree_and_spans_stand_in_the_text(text: str) -> None:
    spans = word_spans(text)
    assert [word for _, _, word in spans] == words(text)
    assert all(0 <= start < end <= len(text) for start, end, _ in spans)
    assert [start for start, _, _ in spans] == sorted(start for start, _, _ in spans)
    assert all(word for _, _, word in spans)


@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_case_does_not_matter_where_there_is_no_camel_case(text: str) -> None:
    lowered = text.lower()
    assert words(lowered) == words(lowered.upper().lower())


def test_stop_words_are_words_themselves() -> None:
    assert all(words(word) == [word] for word in STOP_WORDS)
    assert stems(" ".join(sorted(STOP_WORDS))) == []


def test_stems_join_forms_of_a_word() -> None:
    assert stem("connection") == stem("connecting") == "connect"
    assert stems("The connections aren't connecting") == ["connect", "connect"]


def test_stemming_from_many_threads_agrees() -> None:
    vocabulary = [f"{start}{end}" for start in ("relat", "condit", "gener") for end in
                  ("ional", "ing", "ed", "ization", "able", "s")]  # fmt: skip
    expected = [stem(word) for word in vocabulary]
    found: list[list[str]] = []

    def work() -> None:
        for _ in range(50):
            stem.cache_clear()
            found.append([stem(word) for word in vocabulary])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == expected for one in found)
