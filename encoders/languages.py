"""Languages of texts: which one a text is written in, and which ones a collection is made of.

The detector reads documents only. A query is too short for it; it is read in all languages of its
collection at once (``encoders.word_forms``).

References
----------
Lui & Baldwin, "langid.py: an off-the-shelf language identification tool", ACL 2012 (system
demonstrations), https://aclanthology.org/P12-3005; here as py3langid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from encoders.words import STEMMERS

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["DEFAULT_LANGUAGES", "detect_language", "language_named", "main_languages"]

DEFAULT_LANGUAGES = ("en",)
"""Where nothing is known, words are stemmed as English ones."""

# Scripts without spaces have no stems; what stands in Latin letters among them is mostly English.
_AS_ENGLISH = frozenset(["zh", "ja", "ko", "th", "lo", "km", "my", "wuu", "yue"])
_VARIANTS = {"nb": "no", "nn": "no"}
# More text hardly makes the detector surer, and takes time.
_CHARACTERS_READ = 600
# On 5,526 short texts full of code, English all of them, 4 are called otherwise this surely.
_LEAST_CONFIDENCE = 0.5
# A language is stemmed as itself where at least this share of a collection is written in it;
# below, stray false detections would cost every query more words to look up.
_LEAST_SHARE = 0.02


def language_named(name: str) -> str | None:
    """Code of a language as metadata names it, ``None`` where there is no stemmer of that name.

    Examples
    --------
    >>> language_named("de-AT"), language_named("German"), language_named("zh")
    ('de', 'de', 'en')
    >>> language_named("python") is None
    True
    """
    folded = name.strip().lower().replace("_", "-").partition("-")[0]
    by_name = {algorithm: code for code, algorithm in STEMMERS.items()}
    code = _stemmed_as(by_name.get(folded, folded))
    return code if code in STEMMERS else None


def detect_language(text: str) -> str | None:
    """Code of the language a text is written in, ``None`` where that is not clear.

    Languages written without spaces count as English, whose words stand among theirs.

    Examples
    --------
    >>> detect_language("Die Verteidigung gab nur wenige Punkte ab und wurde gelobt.")
    'de'
    >>> detect_language("json.dumps()") is None
    True
    """
    read = text[:_CHARACTERS_READ]
    if not any(character.isalpha() for character in read):
        return None
    code, confidence = _detector().classify(read.encode("utf-8", "replace").decode("utf-8"))
    return _stemmed_as(code) if confidence >= _LEAST_CONFIDENCE else None


def main_languages(found: Iterable[str | None]) -> tuple[str, ...]:
    """Languages of a collection, the most frequent first.

    Parameters
    ----------
    found
        Language of each document, ``None`` where it is unknown.

    Examples
    --------
    >>> main_languages(["de", "en", "de", None]), main_languages([None])
    (('de', 'en'), ('en',))
    """
    counts = Counter(code for code in found if code is not None)
    least = _LEAST_SHARE * counts.total()
    ordered = sorted(counts, key=lambda code: (-counts[code], code))
    return tuple(code for code in ordered if counts[code] >= least) or DEFAULT_LANGUAGES


def _stemmed_as(code: str) -> str:
    return "en" if code in _AS_ENGLISH else _VARIANTS.get(code, code)


@lru_cache(maxsize=1)
def _detector() -> LanguageIdentifier:
    # Imported here: its model takes a second to unpack, and a search needs none of it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
