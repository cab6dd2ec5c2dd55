"""One writer at a time: claims beside the runs.

`warehouse/locks/<uuid>.json` has host, process, purpose, start and last heartbeat. A process that
finds another claim after writing its own removes its own: of two that start together at most one
stays. This needs no rename and no conditional write, only a store that lists what was written.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone

from ncf_spark.errors import DataError, LockedError
from ncf_spark.storage import files

log = logging.getLogger("ncf_spark")

_HEARTBEAT_S = 30.0
# Two that start at the same moment may both remove their claims; then each tries again.
_TRIES, _MAX_PAUSE_S = 4, 1.0


@dataclass(frozen=True)
class Claim:
    """Who writes to the warehouse.

    Args:
        what: the job and its night.
        since, seen_at: its start and its last heartbeat, ISO 8601 in UTC.
    """

    host: str
    process: int
    what: str
    since: str
    seen_at: str

    def __str__(self) -> str:
        age = _now() - datetime.fromisoformat(self.since)
        seen = _now() - datetime.fromisoformat(self.seen_at)
        return (
            f"{self.what} (process {self.process} on {self.host}, started {self.since}, "
            f"{_in_words(age)} ago; last heartbeat {_in_words(seen)} ago)"
        )

    def is_stale(self, expires_after: timedelta | None) -> bool:
        """Whether its process has ended, or was silent for too long."""
        if self.host == socket.gethostname() and not _is_running(self.process):
            return True
        silent = _now() - datetime.fromisoformat(self.seen_at)
        return expires_after is not None and silent > expires_after


class Lock:
    """The right to write to a warehouse, from `__enter__` to `__exit__`.

    Args:
        warehouse_uri: root of the warehouse.
        what: the job and its night, for the error of others.
        expires_after: a claim without a heartbeat for so long is removed; None: never.
        heartbeat_s: seconds between heartbeats.
    """

    def __init__(
        self,
        warehouse_uri: str,
        what: str,
        expires_after: timedelta | None,
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        self._folder = f"{warehouse_uri}/locks"
        self._uri = f"{self._folder}/{uuid.uuid4().hex}.json"
        self._expires_after = expires_after
        self._heartbeat_s = heartbeat_s
        now = _now().isoformat(timespec="seconds")
        self._claim = Claim(socket.gethostname(), os.getpid(), what, now, now)
        self._lost: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True)

    def __enter__(self) -> Lock:
        """Claims the warehouse.

        Raises:
            LockedError: naming who has it, since when, and how to remove a stale claim.
        """
        for _ in range(_TRIES):
            files.write_json(self._uri, asdict(self._claim))
            others = self._others()
            if not others:
                self._thread.start()
                return self
            files.delete(self._uri)
            time.sleep(random.uniform(0, _MAX_PAUSE_S))
        raise LockedError(
            f"{self._folder}: another run writes to this warehouse: {'; '.join(map(str, others))}. "
            "Wait until it has finished. If it certainly no longer runs, remove the lock with "
            "jobs/runs.py --unlock."
        )

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        files.delete(self._uri)

    def check(self) -> None:
        """Raises LockedError when the claim was removed or expired: another run may be writing."""
        if self._lost is not None:
            raise LockedError(f"{self._uri}: {self._lost} This run stops and publishes nothing.")
        if not files.exists(self._uri):
            raise LockedError(
                f"{self._uri}: this run's claim on the warehouse was removed while it ran, so "
                "another run may be writing. This run stops and publishes nothing."
            )

    def _others(self) -> list[Claim]:
        """The claims of others; stale ones are removed with a warning."""
        found = []
        for uri, claim in read_claims(self._folder).items():
            if uri == self._uri:
                continue
            if claim.is_stale(self._expires_after):
                log.warning("a stale lock is removed: %s", claim)
                files.delete(uri)
            else:
                found.append(claim)
        return found

    def _send_heartbeats(self) -> None:
        last_heartbeat = time.monotonic()
        while not self._stop.wait(self._heartbeat_s):
            try:
                # A claim that was removed is not written again.
                if files.exists(self._uri):
                    claim = replace(self._claim, seen_at=_now().isoformat(timespec="seconds"))
                    files.write_json(self._uri, asdict(claim))
                last_heartbeat = time.monotonic()
            except Exception as error:  # of any store, which may answer the next time
                silent = timedelta(seconds=time.monotonic() - last_heartbeat)
                log.warning("the lock %s could not be renewed: %s", self._uri, error)
                if self._expires_after is not None and silent > self._expires_after:
                    self._lost = (
                        f"this run's claim on the warehouse could not be renewed for "
                        f"{_in_words(silent)} (storage.lock_expires_minutes), so another run may "
                        f"have taken it. The last error was: {error}."
                    )
                    log.warning("%s", self._lost)
                    return


def read_claims(folder: str) -> dict[str, Claim]:
    """The claims in a folder of locks, by their URI.

    Raises:
        DataError: when a file is not a claim.
    """
    claims = {}
    for name in files.list_names(folder):
        uri = f"{folder}/{name}"
        try:
            if name.endswith(".json"):
                claims[uri] = Claim(**files.read_json(uri))
        except FileNotFoundError:
            continue  # removed in the meantime
        except TypeError:
            raise DataError(f"{uri}: is not a lock of this program. Remove it.") from None
    return claims


def clear(warehouse_uri: str) -> list[Claim]:
    """Removes every claim on a warehouse.

    Returns:
        The removed claims.
    """
    claims = read_claims(f"{warehouse_uri}/locks")
    for uri in claims:
        files.delete(uri)
    return list(claims.values())


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _in_words(duration: timedelta) -> str:
    seconds = max(0, int(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
