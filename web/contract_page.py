"""The API's reference as a page: our own HTML, nothing loaded from elsewhere."""

from __future__ import annotations

from functools import lru_cache

from flask import Blueprint, Flask, Response, request
from markdown_it import MarkdownIt
from markupsafe import Markup

from search_api.contract import PREFIX
from search_api.reference import markdown_reference
from search_api.routes import ALL_OPERATIONS
from web.layout import render_page
from web.page_request import PageRequest

__all__ = ["blueprint", "init_app"]

blueprint = Blueprint("contract", __name__)


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get(f"{PREFIX}/docs")
def contract_page() -> Response:
    """Show every operation with its parameters and examples."""
    reference = _reference(request.root_url.rstrip("/"))
    return render_page("contract.html", PageRequest({}), reference=reference)


# Few: whoever asks chooses the server's name.
@lru_cache(maxsize=4)
def _reference(server: str) -> Markup:
    text = markdown_reference(ALL_OPERATIONS, server=server)
    # HTML in it would be shown, not taken for tags.
    rendered = MarkdownIt("js-default").render(text)
    # A column without a name has no header, whatever Markdown makes of it.
    return Markup(rendered.replace("<th></th>", "<td></td>"))  # noqa: S704
