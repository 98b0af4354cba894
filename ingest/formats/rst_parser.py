"""Parse reStructuredText safely, with every directive and role somehow known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.parsers.rst.languages import en
from docutils.utils import new_document

__all__ = ["parse_rst"]

_DIRECTIVE = re.compile(r"^\s*\.\. +(?:\|[^|\n]+\| +)?([\w:.+-]+?) ?::(?:\s|$)", re.MULTILINE)
_ROLE = re.compile(r":([\w:.+-]+?):(?=`)|`:([\w:.+-]+?):")
_TARGET = re.compile(r"\s*<[^<>]*>\s*$")

# Their content is no reStructuredText.
_LITERAL = frozenset(
    """
    code code-block sourcecode doctest testcode testoutput testsetup testcleanup ipython graphviz
    digraph mermaid productionlist prompt console literalinclude plot jupyter-execute parsed
    """.split()  # noqa: SIM905
)
_LEADS = {
    "deprecated": "Deprecated since version",
    "deprecated-removed": "Deprecated since version",
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
}
# Index entries and settings, which no reader of the page sees.
_SILENT = frozenset(
    """
    automodule currentmodule highlight include index module moduleauthor py:currentmodule raw
    sectionauthor tabularcolumns
    """.split()  # noqa: SIM905
)
# Sphinx adds options to docutils' own code blocks; files and raw output are refused anyway.
_STANDARD_DIRECTIVES = frozenset(en.directives) - _LITERAL - _SILENT
_STANDARD_ROLES = frozenset(en.roles)


def parse_rst(source: str) -> nodes.document:
    """Parse markup without reading another file, writing a message, or losing unknown markup.

    docutils' transforms are not run: they resolve references and would remove what they
    cannot resolve.

    Parameters
    ----------
    source
        The markup.
    """
    _register_unknown(source)
    settings = get_default_settings(Parser)
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.report_level = settings.halt_level = 5
    settings.warning_stream = False
    settings.syntax_highlight = "none"
    settings.line_length_limit = 1_000_000
    settings.character_level_inline_markup = False
    document = new_document("<document>", settings)
    Parser().parse(source, document)
    return document


def _register_unknown(source: str) -> None:
    # docutils keeps one registry a process. Names it knows itself are left as they are.
    for name in {match[1].lower() for match in _DIRECTIVE.finditer(source)}:
        if name in _STANDARD_DIRECTIVES:
            continue
        if name in _SILENT:
            directives.register_directive(name, _SilentDirective)
        else:
            literal = name in _LITERAL
            directives.register_directive(name, _LiteralDirective if literal else _KeptDirective)
    for match in _ROLE.finditer(source):
        name = (match[1] or match[2]).lower()
        if name not in _STANDARD_ROLES:
            roles.register_local_role(name, _kept_role)  # type: ignore[arg-type]


class _AnyOption(dict[str, Callable[[str | None], str]]):
    """An option table in which every option is known."""

    def __missing__(self, name: str) -> Callable[[str | None], str]:
        return _any_value


def _any_value(argument: str | None) -> str:
    return argument or ""


class _KeptDirective(Directive):
    """A directive of which only the words matter: argument, then content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[Any] = _AnyOption({"": _any_value})

    def run(self) -> Sequence[nodes.Node]:
        """Return the argument as a paragraph, and what the content parses to."""
        lead = _LEADS.get(self.name.lower(), "")
        argument = " ".join([lead, *self.arguments]).strip()
        kept: list[nodes.Node] = []
        if argument:
            children, messages = self.state.inline_text(argument, self.lineno)
            kept += [nodes.paragraph(argument, "", *children), *messages]
        if self.content:
            container = nodes.container()
            self.state.nested_parse(self.content, self.content_offset, container)
            kept += container.children
        return kept


class _LiteralDirective(_KeptDirective):
    """A directive whose content is kept as it is written."""

    def run(self) -> Sequence[nodes.Node]:
        """Return the content as one block; the argument names a language or a file."""
        text = "\n".join(self.content)
        return [nodes.literal_block(text, text)] if text.strip() else []


class _SilentDirective(_KeptDirective):
    """A directive that shows nothing."""

    def run(self) -> Sequence[nodes.Node]:
        """Return nothing."""
        return []


def _kept_role(
    role: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: object,
    options: Mapping[str, object] | None = None,
    content: Sequence[str] | None = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Keep a role's text without its target: ``Title <target>`` is shown as ``Title``."""
    shown = _TARGET.sub("", nodes.unescape(text)) or text
    return [nodes.inline(rawtext, shown.lstrip("~!"))], []
