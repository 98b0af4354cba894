"""The block of fields that may open a Markdown file: YAML between ``---``, TOML between ``+++``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable

import yaml

from ingest.report import IngestReport

__all__ = ["split_front_matter"]

_BLOCK = re.compile(
    r"\A\ufeff?(?P<fence>---|\+\+\+)[ \t]*\r?\n(?P<fields>.*?)"
    r"(?:^|\n)(?:(?P=fence)|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_MAX_CHARACTERS = 100_000


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, whose expansion can outgrow any memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def split_front_matter(
    text: str, place: str, report: IngestReport
) -> tuple[str, dict[str, object]]:
    r"""Part a file's body from the fields declared above it.

    Parameters
    ----------
    text
        The whole file.
    place
        Its path, for the report.
    report
        Takes note of a block that cannot be read; its fields are then ignored.

    Returns
    -------
    (str, dict)
        The body, and the fields; no fields when there is no such block.

    Examples
    --------
    >>> split_front_matter("---\ntitle: A\n---\nBody\n", "a.md", IngestReport())
    ('Body\n', {'title': 'A'})
    """
    match = _BLOCK.match(text)
    if match is None or len(match["fields"]) > _MAX_CHARACTERS:
        return text, {}
    load: Callable[[str], object] = _load_yaml if match["fence"] == "---" else tomllib.loads
    try:
        fields = load(match["fields"])
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        # PyYAML lets ValueError through for impossible dates and TypeError for odd keys.
        report.note("broken front matter block", place, outcome="ignored")
        return text[match.end() :], {}
    if fields is None:
        return text[match.end() :], {}
    if not isinstance(fields, dict):
        # Two rules with text between them are no front matter.
        return text, {}
    return text[match.end() :], {str(key): value for key, value in fields.items()}


def _load_yaml(text: str) -> object:
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  (a SafeLoader with less)
