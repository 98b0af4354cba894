"""What was asked of a collection in the background, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACCEPTED", "FAILED", "PUBLISHED", "REINDEX", "RUNNING", "WRITE", "Task"]

WRITE = "write"
REINDEX = "reindex"
ACCEPTED = "accepted"
RUNNING = "running"
PUBLISHED = "published"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """One request that changes a collection, as its write log keeps it.

    Parameters
    ----------
    task
        Its id.
    kind
        ``"write"``: documents put and deleted; ``"reindex"``: the sources read again.
    state
        ``"accepted"``: it lies in the log, and will be done whatever crashes. ``"running"``.
        ``"published"``: searches see it. ``"failed"``: ``error`` says why; documents of a failed
        write stay in the log and are tried again, so that it may still become ``"published"``.
    n_put, n_deleted
        How many documents it puts and deletes.
    stage, share
        What is being done, and which share of that is done, in [0, 1]; ``None`` unless known.
    version
        The version that first held it, or ``None``.
    attempts
        How often it was begun.
    accepted_at, started_at, finished_at
        ISO 8601, UTC.
    """

    task: str
    kind: str
    state: str
    n_put: int
    n_deleted: int
    stage: str | None
    share: float | None
    version: str | None
    error: str | None
    attempts: int
    accepted_at: str
    started_at: str | None
    finished_at: str | None

    @property
    def is_done(self) -> bool:
        """Whether waiting longer for it makes no sense."""
        return self.state in (PUBLISHED, FAILED)
