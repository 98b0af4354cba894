"""Signing in with a key, for people: a browser then shows it by a cookie.

The cookie holds the key's id, signed by a secret of the data folder that all workers share; the
key is looked up with every request, so a revoked one is signed out at once. No script can read the
cookie, other sites' forms cannot send it, and what changes anything must come from our own pages
(``search_api/access.py``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, redirect, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

from ingest.errors import IndexFolderError
from search_api.access import ForbiddenError, is_own_page, sign_in_by
from search_api.keys import KeyStore
from web.layout import render_page
from web.page_request import PageRequest

__all__ = ["COOKIE", "blueprint", "init_app", "sign_in_first"]

COOKIE = "trine_session"
_SESSION_S = 12 * 3600
_LONGEST_KEY = 200
_EXTENSION = "trine_sign_in"

blueprint = Blueprint("sign_in", __name__)


class _Sessions:
    """Signs ids of keys, and reads what was signed; reads the secret when it first needs it."""

    def __init__(self, data_dir: Path) -> None:
        self.keys = KeyStore(data_dir)
        self._path = data_dir / "state" / "session-secret"
        self._signer: URLSafeTimedSerializer | None = None

    def signed(self, key_id: str) -> str:
        """The value of a cookie."""
        return str(self._known().dumps(key_id))

    def key_id(self) -> str | None:
        """Id of the key that signed in, of the current request; ``None`` where none did."""
        value = request.cookies.get(COOKIE)
        if not value:
            return None
        try:
            return str(self._known().loads(value, max_age=_SESSION_S))
        except BadData:
            return None

    def _known(self) -> URLSafeTimedSerializer:
        if self._signer is None:
            self._signer = URLSafeTimedSerializer(_secret_in(self._path), salt=COOKIE)
        return self._signer


def init_app(app: Flask, data_dir: Path) -> None:
    """Give an application the page to sign in, and those who did their session."""
    sessions = _Sessions(data_dir)
    app.extensions[_EXTENSION] = sessions
    sign_in_by(app, sessions.key_id)
    app.register_blueprint(blueprint)


def sign_in_first() -> BaseResponse:
    """Send somebody to sign in, and back to where they wanted to go."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(f"{request.script_root}/sign-in?{_query(wanted)}", 303)


@blueprint.get("/sign-in")
def sign_in_page() -> Response:
    """Ask for a key."""
    return _form()


@blueprint.post("/sign-in")
def sign_in() -> BaseResponse:
    """Sign in with a key."""
    if not is_own_page(named=True):
        raise ForbiddenError("sign in by the page of this server itself")
    sessions: _Sessions = current_app.extensions[_EXTENSION]
    known = sessions.keys.find(request.form.get("key", "")[:_LONGEST_KEY].strip())
    if known is None:
        return _form("This key is not known here, or was revoked.", 401)
    response = redirect(request.script_root + _own_address(request.args.get("next", "/")), 303)
    response.set_cookie(
        COOKIE,
        sessions.signed(known.key_id),
        max_age=_SESSION_S,
        path=f"{request.script_root}/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


@blueprint.post("/sign-out")
def sign_out() -> BaseResponse:
    """Forget the session."""
    if not is_own_page(named=True):
        raise ForbiddenError("sign out by the page of this server itself")
    response = redirect(f"{request.script_root}/sign-in", 303)
    response.delete_cookie(COOKIE, path=f"{request.script_root}/", httponly=True, samesite="Lax")
    return response


def _form(problem: str = "", status: int = 200) -> Response:
    response = render_page(
        "sign_in.html",
        PageRequest({}),
        problem=problem,
        query=_query(_own_address(request.args.get("next", "/"))),
    )
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def _query(wanted: str) -> str:
    return urlencode({"next": wanted})


def _own_address(wanted: str) -> str:
    """An address on this server, whatever was asked for."""
    # Browsers read a second slash, of either kind, as the begin of another server's name.
    is_ours = wanted.startswith("/") and wanted[1:2] not in {"/", "\\"} and wanted.isprintable()
    return wanted if is_ours else "/"


def _secret_in(path: Path) -> str:
    """The secret all workers share; made by the first of them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Readable by its owner alone from the start, and there as a whole or not at all.
            descriptor, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(secrets.token_hex(32))
                with contextlib.suppress(FileExistsError):
                    Path(path).hardlink_to(name)
            finally:
                Path(name).unlink()
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise IndexFolderError(f"the secret in {path} cannot be used: {error}") from error
    if len(secret) < 64:
        raise IndexFolderError(f"the secret in {path} is too short: remove the file")
    return secret
