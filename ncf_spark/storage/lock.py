"""One writer at a time: claims beside the runs, on any store that lists what was written.

warehouse/locks/<uuid>.json holds host, process, what for, since when, and the last sign of life.
Whoever finds another claim after writing its own takes its own back: of two that start together at
most one stays. That needs neither a rename nor a conditional write.
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

_SECONDS_BETWEEN_SIGNS = 30.0
# Of two that start in the same moment both may step back; then each tries again.
_TRIES, _LONGEST_PAUSE_S = 4, 1.0


@dataclass(frozen=True)
class Claim:
    """Who writes to the warehouse.

    Args:
        what: the job and its night.
        since, seen_at: when it began, and its last sign of life, ISO 8601 in UTC.
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
            f"{_words(age)} ago; last sign of life {_words(seen)} ago)"
        )

    def is_left_behind(self, expires_after: timedelta | None) -> bool:
        """Whether its process is known to be gone, or gave no sign for too long."""
        if self.host == socket.gethostname() and not _is_running(self.process):
            return True
        silent = _now() - datetime.fromisoformat(self.seen_at)
        return expires_after is not None and silent > expires_after


class Lock:
    """The right to write to a warehouse, from `__enter__` to `__exit__`.

    Args:
        warehouse_uri: root of the warehouse.
        what: the job and its night, for those who are refused.
        expires_after: a claim without a sign of life for so long is removed; None: never.
    """

    def __init__(
        self,
        warehouse_uri: str,
        what: str,
        expires_after: timedelta | None,
        seconds_between_signs: float = _SECONDS_BETWEEN_SIGNS,
    ) -> None:
        self._folder = f"{warehouse_uri}/locks"
        self._uri = f"{self._folder}/{uuid.uuid4().hex}.json"
        self._expires_after = expires_after
        self._seconds = seconds_between_signs
        now = _now().isoformat(timespec="seconds")
        self._claim = Claim(socket.gethostname(), os.getpid(), what, now, now)
        self._lost: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show_life, daemon=True)

    def __enter__(self) -> Lock:
        """Claims the warehouse.

        Raises:
            LockedError: naming who has it, since when, and how to clear what was left behind.
        """
        for _ in range(_TRIES):
            files.write_json(self._uri, asdict(self._claim))
            others = self._others()
            if not others:
                self._thread.start()
                return self
            files.delete(self._uri)
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S))
        raise LockedError(
            f"{self._folder}: another run writes to this warehouse: {'; '.join(map(str, others))}. "
            "Wait until it is done. If it is certain that it no longer runs, clear the lock with "
            "jobs/runs.py --unlock."
        )

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        files.delete(self._uri)

    def check(self) -> None:
        """Raises LockedError when the claim was removed or expired: another run may be at work."""
        if self._lost is not None:
            raise LockedError(f"{self._uri}: {self._lost} This run stops, and publishes nothing.")
        if not files.exists(self._uri):
            raise LockedError(
                f"{self._uri}: this run's claim on the warehouse was removed while it ran, so "
                "another run may be writing. This one stops, and publishes nothing."
            )

    def _others(self) -> list[Claim]:
        """The claims of others; those left behind are removed, which the log says."""
        found = []
        for uri, claim in read_claims(self._folder).items():
            if uri == self._uri:
                continue
            if claim.is_left_behind(self._expires_after):
                log.warning("a lock was left behind and is removed: %s", claim)
                files.delete(uri)
            else:
                found.append(claim)
        return found

    def _show_life(self) -> None:
        last_sign = time.monotonic()
        while not self._stop.wait(self._seconds):
            try:
                # What was removed stays removed.
                if files.exists(self._uri):
                    claim = replace(self._claim, seen_at=_now().isoformat(timespec="seconds"))
                    files.write_json(self._uri, asdict(claim))
                last_sign = time.monotonic()
            except Exception as error:  # of any store, which may be back for the next sign
                silent = timedelta(seconds=time.monotonic() - last_sign)
                log.warning("the lock %s could not be renewed: %s", self._uri, error)
                if self._expires_after is not None and silent > self._expires_after:
                    self._lost = (
                        f"this run's claim on the warehouse could not be renewed for "
                        f"{_words(silent)} (storage.lock_expires_minutes), so another run may have "
                        f"taken it. The last error was: {error}."
                    )
                    log.warning("%s", self._lost)
                    return


def read_claims(folder: str) -> dict[str, Claim]:
    """The claims in a folder of locks, by their URI.

    Raises:
        DataError: when one is no claim.
    """
    claims = {}
    for name in files.list_names(folder):
        uri = f"{folder}/{name}"
        try:
            if name.endswith(".json"):
                claims[uri] = Claim(**files.read_json(uri))
        except FileNotFoundError:
            continue  # It was given back in the meantime.
        except TypeError:
            raise DataError(f"{uri}: is no lock of this program. Remove it.") from None
    return claims


def clear(warehouse_uri: str) -> list[Claim]:
    """Removes every claim on a warehouse.

    Returns:
        What was removed.
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


def _words(duration: timedelta) -> str:
    seconds = max(0, int(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
