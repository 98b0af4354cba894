"""Languages: which one a text is in, and the stems of words in several at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.languages import detect_language, language_named, main_languages
from encoders.tfidf import TfidfEncoder
from encoders.word_forms import common_stems, query_forms, word_forms
from encoders.words import STEMMERS, stem, stems, stop_words, words

TEXTS = {
    "en": "The defence of the castle was given up after the winter, as nobody was left in it.",
    "de": "Die Verteidigung der Burg wurde nach dem Winter aufgegeben, da niemand mehr dort war.",
    "fr": "La défense du château fut abandonnée après l'hiver, car il n'y restait plus personne.",
    "es": "La defensa del castillo se abandonó después del invierno, pues no quedaba nadie en él.",
    "ru": "Оборона замка была оставлена после зимы, потому что там никого не осталось.",
    "pt": "A defesa do castelo foi abandonada depois do inverno, pois já não havia ninguém nele.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert detect_language(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "123 456", "json.dumps()", "x", "\ud800", "🔥"])
def test_what_is_no_sentence_tells_none(text: str) -> None:
    assert detect_language(text) is None


def test_scripts_without_spaces_count_as_english() -> None:
    assert detect_language("黑豹队的防守只丢了分,在联赛中排名第六,同时也领先。") == "en"
    assert language_named("ja-JP") == "en"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("de", "de"), ("DE_at", "de"), (" German ", "de"), ("nb", "no"),
        ("python", None), ("go", None), ("", None), ("../en", None),
    ],
)  # fmt: skip
def test_a_name_in_metadata(name: str, code: str | None) -> None:
    assert language_named(name) == code


def test_stray_detections_make_no_main_language() -> None:
    assert main_languages(["en"] * 99 + ["la"]) == ("en",)
    assert main_languages(["de"] * 50 + ["en"] * 60 + [None] * 1000) == ("en", "de")
    assert main_languages([]) == ("en",)


@pytest.mark.parametrize("language", STEMMERS)
def test_every_stemmer_and_stop_word_list_can_be_used(language: str) -> None:
    assert stem("probe", language)
    # Stop words are folded as words of texts are, or they would never be met.
    assert all(words(word) == [word] for word in stop_words(language))
    assert stems(" ".join(stop_words(language)), language) == []


def test_forms_of_a_word_share_a_stem_in_its_own_language() -> None:
    assert stem("häuser", "de") == stem("haus", "de")
    assert stem("châteaux", "fr") == stem("château", "fr")
    assert stem("häuser", "xx") == "häuser"


@given(st.text(max_size=60), st.sampled_from([("en",), ("de",), ("fr", "en"), ("vi", "ru", "de")]))
def test_a_query_is_looked_up_under_every_stem_a_document_may_have(
    text: str, languages: tuple[str, ...]
) -> None:
    looked_up = {form for forms in query_forms(text, languages) for form in forms}
    for word in words(text):
        for form in word_forms(word, languages):
            assert form in looked_up or any(word in stop_words(code) for code in languages)


def test_the_language_with_most_stop_words_decides_what_is_left_out() -> None:
    both = ("en", "de")
    assert [forms[0] for forms in query_forms("wie hoch ist die Mauer", both)] == ["hoch", "mauer"]
    # In an English sentence "die" is a word.
    assert ("die",) in query_forms("why did the king die", both)


def test_one_language_stems_as_ever() -> None:
    text = "The connections aren't connecting the wings of ThreadPools"
    assert common_stems(text, ("en",)) == stems(text)
    assert [forms for (forms,) in query_forms(text, ("en",))] == stems(text)


def test_tfidf_joins_forms_in_every_language_of_its_texts() -> None:
    texts = ["ein Haus am See", "a house at the lake", "Autos fahren schnell", "cars drive fast"]
    encoder = TfidfEncoder(n_components=4, languages=("de", "en")).fit(texts)
    near = encoder.encode_queries(["die Häuser"]) @ encoder.encode_documents(texts).T
    assert near[0].argmax() == 0
    assert near[0, 0] > 0.5
    plain, english = TfidfEncoder().fit(texts), TfidfEncoder(languages=("en",)).fit(texts)
    assert plain.fingerprint == english.fingerprint != encoder.fingerprint
