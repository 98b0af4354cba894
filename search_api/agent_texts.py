"""Answers to agents as text to read: what a document says must not look like anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "text_of_collection",
    "text_of_collections",
    "text_of_document",
    "text_of_found",
    "text_of_passages",
]

_N_FACET_VALUES = 20


def text_of_found(found: Mapping[str, Any]) -> str:
    """Hits, one after the other."""
    lines = []
    if found["no_good_result"]:
        lines.append("No good result: nothing found is likely to be relevant.")
    if found["did_you_mean"]:
        lines.append(f"Searched for {found['did_you_mean']!r} instead.")
    lines.append(
        f"{len(found['hits'])} of {found['total']} matching documents, page {found['page']}, "
        f"collection {found['collection']}, version {found['version']}."
    )
    for hit in found["hits"]:
        # What a document says must not look like another hit.
        lines += ["", f"{hit['rank']}. {_one_line(hit['title'] or hit['doc_id'])}"]
        lines.append(f"   doc_id {_one_line(hit['doc_id'])}, probability {hit['probability']:.2f}")
        lines += [f"   {line}" for line in _described(hit)]
        lines.append(f"   {_one_line(hit['passage']['text'])}")
    for field, counts in found["facets"].items():
        shown = ", ".join(f"{c['value']} ({c['count']})" for c in counts[:_N_FACET_VALUES])
        lines += ["", _one_line(f"{field}: {shown}")]
    return "\n".join(lines)


def text_of_document(found: Mapping[str, Any]) -> str:
    """A document, and where it goes on."""
    lines = [found["title"] or found["doc_id"], f"doc_id {found['doc_id']}", *_described(found)]
    lines += ["", found["text"]]
    if found["next_start"] is not None:
        lines += ["", f"(goes on: start={found['next_start']} of {found['n_characters']})"]
    return "\n".join(lines)


def text_of_passages(found: Mapping[str, Any]) -> str:
    """Passages, numbered."""
    lines = [f"{found['n_passages']} passages of {found['doc_id']}"]
    for number, passage in enumerate(found["passages"], start=found["first"]):
        lines += ["", f"{number}. {passage['text']}"]
    return "\n".join(lines)


def text_of_collections(found: Mapping[str, Any]) -> str:
    """Collections, a line each."""
    lines = [f"The default is {found['default_collection']}."]
    for each in found["collections"]:
        told = each.get("error") or f"{each['documents']} documents"
        lines.append(f"- {each['collection']}: {told}")
    return "\n".join(lines)


def text_of_collection(found: Mapping[str, Any]) -> str:
    """A collection and its fields."""
    return (
        f"{found['collection']}: {found['documents']} documents, version {found['version']}.\n"
        f"Fields: {', '.join(found['fields']) or 'none'}.\n"
        f"Fields with few values: {', '.join(found['facets']) or 'none'}."
    )


def _described(found: Mapping[str, Any]) -> Iterable[str]:
    if found["url"]:
        yield str(found["url"])
    if found["metadata"]:
        yield _one_line("; ".join(f"{name}: {value}" for name, value in found["metadata"].items()))


def _one_line(text: str) -> str:
    return " ".join(text.split())
