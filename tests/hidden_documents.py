"""Documents that some keys may see and others may not, and what betrays the hidden ones."""

from __future__ import annotations

from pathlib import Path

from conftest import make_library

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder

# Every hidden document has all of these; no other document has any.
MARKERS = ("zzident", "zztitle", "zzword", "zzfield", "zzvalue", "zzname", "zzlink", "zzother")
PUBLIC = "level:public"
"""Filter that is true of all documents but the hidden ones."""


def public_documents() -> list[Document]:
    """Those that may be seen."""
    return [
        Document(
            document.doc_id,
            document.title,
            document.text,
            url=document.url,
            metadata={**document.metadata, "level": "public"},
            names=document.names,
        )
        for document in make_library()
    ]


def _secret(number: int) -> Document:
    shared = "File and folder" if number % 2 else f"Zztitle {number}"
    return Document(
        f"zzident/{number}",
        shared,
        f"The zzword of the open file is read by the socket. The zzword socket {number} opens.",
        url=f"https://zzlink.example/{number}",
        metadata={"level": "secret", "zzfield": f"zzvalue{number}", "subject": f"zzvalue{number}"},
        names=(f"zzname.{number}", "quaternion"),
    )


def build_hidden(folder: Path, settings: IndexSettings) -> None:
    """Make three collections: with hidden documents among others, without them, and of them."""
    secret = [_secret(number) for number in range(12)]
    other = Document("zzother", "Zzother", "Zzother zzword.", metadata={"level": "public"})
    for name, documents in {
        "mixed": [*public_documents(), *secret],
        "clean": public_documents(),
        "zzother": [other, *secret],
    }.items():
        build_version(CollectionFolder(folder, name), documents, settings=settings)
