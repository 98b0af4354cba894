"""API keys: made once, shown once, kept as hashes, looked up with every request.

``<data dir>/state/keys.json`` holds them; a change replaces the file as a whole, so readers need no
lock, and every process sees that it is another file with the next request: a revoked key is refused
at once. Kept is the SHA-256 of a key. A slow hash is for passwords, which people choose and others
can guess; a key is 256 random bits, of which no number of guesses finds one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from ingest.errors import IndexFolderError, QueryError
from pipeline.search.filters import parse_filter
from pipeline.version.collection import CollectionFolder
from pipeline.version.publishing import sync_folder

__all__ = ["KEY_PREFIX", "MAX_LABEL_CHARACTERS", "SCOPES", "ApiKey", "KeyStore"]

SCOPES = ("search", "write", "admin")
KEY_PREFIX = "trine_"
"""How every key begins, for those who look for keys where none should be."""

MAX_LABEL_CHARACTERS = 100
_FORMAT = 1
_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{12}})_[0-9a-f]{{64}}")
_NO_DIGEST = "0" * 64
_LOCK_WAITS_S = 10.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key is allowed, without the key.

    Parameters
    ----------
    key_id
        Names it; part of the key, and no secret.
    created
        ISO 8601, UTC.
    scopes
        Some of ``search``, ``write`` and ``admin``; none includes another.
    collections
        The only ones there are for it; all when empty.
    filter
        Condition on metadata: there are only such documents for it; ``None`` for all.
    sha256
        Hash of the key, in hex.
    """

    key_id: str
    label: str
    created: str
    scopes: tuple[str, ...]
    collections: tuple[str, ...]
    filter: str | None
    sha256: str

    def to_json(self) -> dict[str, object]:
        """All but the hash, JSON-ready."""
        return {
            "id": self.key_id,
            "label": self.label,
            "created": self.created,
            "scopes": list(self.scopes),
            "collections": list(self.collections),
            "filter": self.filter,
        }


class KeyStore:
    """The keys of a data folder; any number of processes may share it, and threads an object.

    Parameters
    ----------
    data_dir
        The data folder; need not exist before a key is made.

    Examples
    --------
    >>> import tempfile
    >>> store = KeyStore(Path(tempfile.mkdtemp()))
    >>> made, key = store.create("shop", ["search"], collections=["products"])
    >>> store.find(key) == made, store.find(key[:-1] + "x")
    (True, None)
    >>> store.revoke(made.key_id) == made, store.find(key)
    (True, None)
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._path = data_dir / "state" / "keys.json"
        self._read: tuple[object, dict[str, ApiKey]] = (None, {})

    def all(self) -> list[ApiKey]:
        """All keys, oldest first.

        Raises
        ------
        IndexFolderError
            If the file cannot be read.
        """
        return list(self._known().values())

    def find(self, key: str) -> ApiKey | None:
        """The key a client shows, or ``None`` where there is none such.

        Raises
        ------
        IndexFolderError
            If the file cannot be read: then nobody is let in.
        """
        match = _KEY.fullmatch(key)
        known = self.get(match[1]) if match else None
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        same = hmac.compare_digest(digest, known.sha256 if known else _NO_DIGEST)
        return known if same else None

    def get(self, key_id: str) -> ApiKey | None:
        """The key of an id, if it was not revoked."""
        return self._known().get(key_id)

    def create(
        self,
        label: str,
        scopes: Sequence[str],
        *,
        collections: Sequence[str] = (),
        filter: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Returns
        -------
        (ApiKey, str)
            What was kept, and the key itself, which cannot be had again.

        Raises
        ------
        QueryError
            If the label, a scope, a collection's name or the filter is not allowed.
        IndexFolderError
            If it cannot be kept.
        """
        self._check(label, scopes, collections, filter)
        key_id = secrets.token_hex(6)
        key = f"{KEY_PREFIX}{key_id}_{secrets.token_hex(32)}"
        made = ApiKey(
            key_id,
            label.strip(),
            datetime.now(UTC).isoformat(timespec="seconds"),
            tuple(name for name in SCOPES if name in scopes),
            tuple(dict.fromkeys(collections)),
            filter,
            hashlib.sha256(key.encode()).hexdigest(),
        )
        with self._changing() as keys:
            keys[key_id] = made
        return made, key

    def revoke(self, key_id: str) -> ApiKey:
        """Let a key open nothing any more, from the next request on.

        Raises
        ------
        QueryError
            If there is no such key.
        IndexFolderError
            If that cannot be kept.
        """
        with self._changing() as keys:
            if key_id not in keys:
                shown = key_id[: len(KEY_PREFIX) + 12]
                raise QueryError(f"there is no key {shown!r}; trine keys list shows their ids")
            return keys.pop(key_id)

    def _check(
        self, label: str, scopes: Sequence[str], collections: Sequence[str], filter: str | None
    ) -> None:
        if not label.strip() or len(label) > MAX_LABEL_CHARACTERS or not label.isprintable():
            raise QueryError(f"the label must be 1 to {MAX_LABEL_CHARACTERS} printable characters")
        if unknown := [name for name in scopes if name not in SCOPES] or not scopes:
            raise QueryError(f"scope {unknown!r} is not one of {', '.join(SCOPES)}")
        for name in collections:
            CollectionFolder(self.data_dir, name)
        if filter is None:
            return
        parse_filter(filter)
        if set(scopes) != {"search"}:
            raise QueryError(
                "a key with a filter may have the scope search alone: what is written, and what "
                "versions and tasks tell, is of whole collections"
            )

    def _known(self) -> dict[str, ApiKey]:
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise self._unusable(error) from error
        # Each change makes another file.
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        read, keys = self._read
        if read != state:
            keys = self._load()
            self._read = (state, keys)
        return keys

    def _load(self) -> dict[str, ApiKey]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r} is not known")
            return {entry["key_id"]: _key_of(entry) for entry in content["keys"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unusable(error) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, ApiKey]]:
        """Let one process at a time change the keys; all of a change is kept, or nothing."""
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / "keys.lock", timeout=_LOCK_WAITS_S, mode=0o600):
                keys = self._load()
                yield keys
                self._replace(keys)
        except (OSError, filelock.Timeout) as error:
            raise self._unusable(error) from error

    def _replace(self, keys: dict[str, ApiKey]) -> None:
        content = {"format": _FORMAT, "keys": [asdict(key) for key in keys.values()]}
        # Made for its owner's eyes alone.
        descriptor, name = tempfile.mkstemp(prefix=".keys-", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
            sync_folder(self._path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _unusable(self, error: Exception) -> IndexFolderError:
        reason = getattr(error, "strerror", None) or str(error)
        return IndexFolderError(f"the keys in {self._path} cannot be used: {reason}")


def _key_of(entry: dict[str, Any]) -> ApiKey:
    return ApiKey(
        **{**entry, "scopes": tuple(entry["scopes"]), "collections": tuple(entry["collections"])}
    )
