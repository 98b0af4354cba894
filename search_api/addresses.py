"""Document ids in addresses: any id a corpus may hold, slashes, dots and percent signs too."""

from __future__ import annotations

from urllib.parse import quote

from werkzeug.routing import BaseConverter

__all__ = ["DocIdConverter", "path_of_doc_id"]


class DocIdConverter(BaseConverter):
    """The rest of a path, whole: slashes at either end and newlines included."""

    regex = "(?s:.+)"
    part_isolating = False

    def to_url(self, value: object) -> str:
        """Write an id so that no browser or proxy rewrites it."""
        return path_of_doc_id(str(value))


def path_of_doc_id(doc_id: str) -> str:
    """Percent-encode an id for a path.

    Slashes stay readable, unless a browser would take a part between them for "here" or
    "one folder up".

    Examples
    --------
    >>> path_of_doc_id("guide/été 100%.md")
    'guide/%C3%A9t%C3%A9%20100%25.md'
    >>> path_of_doc_id("a/../b")
    'a%2F..%2Fb'
    """
    rewritten = {"", ".", ".."}.intersection(doc_id.split("/"))
    return quote(doc_id, safe="~" if rewritten else "/~")
