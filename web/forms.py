"""Forms that change something: only this server's own pages may send them."""

from __future__ import annotations

from flask import request

from search_api.access import ForbiddenError, is_own_page, require

__all__ = ["require_own_page"]


def require_own_page(scope: str) -> None:
    """Let a form pass that comes from a page of this server, by somebody who has a scope.

    A browser names the origin of every form it posts, whoever made the page; what names none, or
    another, may have been sent without the person's knowing (OWASP, "Cross-Site Request Forgery
    Prevention", verifying the origin with standard headers,
    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).

    Raises
    ------
    ForbiddenError
        If it does not.
    """
    require(scope)
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if not is_own_page(named=True) or site != "same-origin":
        raise ForbiddenError("this must be sent by a page of this server")
