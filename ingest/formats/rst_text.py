"""A tree of docutils nodes becomes plain text."""

from __future__ import annotations

from docutils import nodes

from ingest.formats.markup import join_blocks

__all__ = ["document_parts"]

_INVISIBLE = (
    nodes.comment,
    nodes.substitution_definition,
    nodes.target,
    nodes.pending,
    nodes.raw,
    nodes.meta,
    nodes.footnote_reference,
    nodes.label,
)
_CELL_SEPARATOR = " | "


def document_parts(document: nodes.document) -> tuple[str, str, dict[str, str]]:
    """Take title, text and fields from a parsed document on which no transform has run.

    Parameters
    ----------
    document
        The tree.

    Returns
    -------
    (str, str, dict of str)
        The title, perhaps empty; the text, titles included; the document's own fields.
    """
    substitutions = {
        name: definition.astext() for name, definition in document.substitution_defs.items()
    }
    for reference in list(document.findall(nodes.substitution_reference)):
        shown = substitutions.get(reference.get("refname", ""), reference.astext())
        reference.parent.replace(reference, nodes.Text(shown))
    section = document.next_node(nodes.section)
    heading = None if section is None else section.next_node(nodes.title)
    title = "" if heading is None else heading.astext()
    fields: dict[str, str] = {}
    for parent in (document, section):
        field_list = None if parent is None else _leading_fields(parent)
        if field_list is not None and parent is not None:
            fields |= _fields(field_list)
            parent.remove(field_list)
    return title, _blocks(document), fields


def _leading_fields(parent: nodes.Element) -> nodes.field_list | None:
    for child in parent.children:
        if isinstance(child, nodes.field_list):
            return child
        if not isinstance(child, nodes.title | nodes.comment | nodes.target):
            return None
    return None


def _fields(field_list: nodes.field_list) -> dict[str, str]:
    fields = {}
    for field in field_list.children:
        name, body = field.children
        fields[name.astext().strip().lower()] = " ".join(body.astext().split())
    return {name: value for name, value in fields.items() if name and value}


def _blocks(node: nodes.Node) -> str:
    return join_blocks(_block(child) for child in node.children)


def _block(node: nodes.Node) -> str:
    if isinstance(node, _INVISIBLE):
        return ""
    if isinstance(node, nodes.system_message):
        # What could not be parsed stands here as it was written.
        return join_blocks(block.astext() for block in node.findall(nodes.literal_block))
    if isinstance(node, nodes.literal_block | nodes.doctest_block | nodes.math_block):
        return node.astext()
    if isinstance(node, nodes.bullet_list | nodes.enumerated_list):
        return _list(node)
    if isinstance(node, nodes.definition_list | nodes.field_list | nodes.option_list):
        return _pairs(node)
    if isinstance(node, nodes.table):
        return _table(node)
    if isinstance(node, nodes.line_block):
        return "\n".join(_block(line) for line in node.children)
    if isinstance(node, nodes.image):
        return str(node.get("alt", ""))
    if isinstance(node, nodes.TextElement | nodes.Text):
        return " ".join(_inline(node).split())
    return _blocks(node)


def _inline(node: nodes.Node) -> str:
    if isinstance(node, _INVISIBLE):
        return ""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.image):
        return str(node.get("alt", ""))
    return "".join(_inline(child) for child in node.children)


def _list(node: nodes.Element) -> str:
    ordered = isinstance(node, nodes.enumerated_list)
    lines = []
    for number, item in enumerate(node.children, start=int(node.get("start", 1))):
        marker = f"{number}. " if ordered else "- "
        # A blank line inside an item would read as the end of the list.
        inner = [line for line in _blocks(item).split("\n") if line]
        lines.append(marker + ("\n" + " " * len(marker)).join(inner))
    return "\n".join(lines)


def _pairs(node: nodes.Element) -> str:
    """Terms with what they mean, on the lines below."""
    pairs = []
    for item in node.children:
        parts = [_block(part) for part in item.children]
        pairs.append("\n".join(part for part in parts if part))
    return join_blocks(pairs)


def _table(node: nodes.table) -> str:
    title = " ".join(child.astext() for child in node.children if isinstance(child, nodes.title))
    rows = [
        _CELL_SEPARATOR.join(" ".join(_blocks(entry).split()) for entry in row.children)
        for row in node.findall(nodes.row)
    ]
    return "\n".join([title, *rows]) if title else "\n".join(rows)
