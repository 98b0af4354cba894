"""Does a version hold together? Counts agree, and a sample of documents finds itself."""

from __future__ import annotations

import numpy as np

from encoders.bert import BertEncoder
from encoders.word_forms import query_forms
from pipeline.version.encoder_text import encoder_text, fitting_title
from pipeline.version.keyword_index import KeywordQuery, indexable
from pipeline.version.open_version import OpenVersion

__all__ = ["verify_version"]

_N_SAMPLED = 8
# Encoding a text alone or in a batch differs by rounding only; another row differs by far more.
_SAME_EMBEDDING = 0.999
_PROBE_STEMS = 64


def verify_version(version: OpenVersion) -> list[str]:
    """Check an open version against itself.

    Returns
    -------
    list of str
        One line a problem; empty when documents, passages and every signal agree, and a
        sample of documents is found by its own text through every signal.
    """
    problems = version.count_problems()
    return problems or [problem for row in _sample(version) for problem in _probe(version, row)]


def _sample(version: OpenVersion) -> list[int]:
    n_documents = version.manifest.n_documents
    return sorted(set(np.linspace(0, n_documents - 1, _N_SAMPLED).round().astype(int).tolist()))


def _probe(version: OpenVersion, row: int) -> list[str]:
    document = version.documents.documents([row])[0]
    text = encoder_text(document.title, document.text)
    problems = []
    if version.keywords is not None:
        # In every language at once: one of them is the document's.
        forms = query_forms(text, tuple(version.manifest.languages))
        found = indexable(form for distinct in forms[:_PROBE_STEMS] for form in distinct)
        probe = KeywordQuery(tuple(found))
        if probe.weights and version.keywords.scores(probe, np.array([row]))[0] <= 0:
            problems.append(f"bm25 does not find {document.doc_id!r} by its own words")
    for name, index in version.vectors.items():
        encoder = version.encoders[name]
        own_row, own_text = row, text
        if version.manifest.signals[name].rows == "passages":
            own_row = int(version.passages.offsets[row])
            passage = version.passages.passage(own_row)
            title = document.title
            if isinstance(encoder, BertEncoder):
                title = fitting_title(title, encoder.token_starts([title])[0], encoder.max_tokens)
            own_text = encoder_text(title, document.text[passage.start : passage.end])
        embedding = encoder.encode_documents([own_text])[0]
        stored = index.vectors[own_row]
        if embedding.any() != stored.any() or (
            stored.any() and float(embedding @ stored) < _SAME_EMBEDDING
        ):
            problems.append(f"{name} does not find {document.doc_id!r} by its own text")
    return problems
