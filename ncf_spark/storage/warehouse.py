"""The warehouse: its runs, its lock and its pointer to the published run.

`ncf_spark.storage.runs` has the layout.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

from ncf_spark.errors import DataError
from ncf_spark.storage import files
from ncf_spark.storage.lock import Lock
from ncf_spark.storage.runs import Run, now


class Warehouse:
    """The root of everything that is written.

    Args:
        path: a path or URI; without a scheme it is on the local disk.
    """

    def __init__(self, path: str) -> None:
        self.uri = files.to_uri(path)
        self._lock: Lock | None = None

    @contextmanager
    def locked(self, what: str, expires_after: timedelta | None) -> Iterator[None]:
        """Keeps other jobs from writing during the `with` block.

        Args:
            what: the job and its night.
            expires_after: a lock without a heartbeat for so long is taken over; None: never.

        Raises:
            LockedError: when another job has the lock.
        """
        with Lock(self.uri, what, expires_after) as lock:
            self._lock = lock
            try:
                yield
            finally:
                self._lock = None

    def check_lock(self) -> None:
        """Raises LockedError when the lock was lost to another job."""
        if self._lock is not None:
            self._lock.check()

    def check_writable(self) -> None:
        """Writes a file and removes it.

        Raises:
            DataError: when that fails.
        """
        probe = f"{self.uri}/runs/.probe-{uuid.uuid4().hex}"
        try:
            files.write_bytes(probe, b"")
            files.delete(probe)
        except OSError as error:
            raise DataError(
                f"storage.warehouse: cannot write to {self.uri} ({error}). "
                "Set a folder that this user may write to."
            ) from None

    def published_run(self) -> Run | None:
        """The run that LATEST.json names; None before the first night.

        Raises:
            DataError: when LATEST.json is damaged.
        """
        pointer = f"{self.uri}/LATEST.json"
        if not files.exists(pointer):
            return None
        try:
            content = files.read_json(pointer)
        except DataError as error:
            raise DataError(
                f"{error} Restore it to the last run that has a manifest.json with "
                "jobs/runs.py --publish RUN."
            ) from None
        if not isinstance(content, dict) or not isinstance(content.get("run"), str):
            raise DataError(
                f'{pointer}: has no run; expected {{"run": "<date>.<number>"}}. '
                "Restore it with jobs/runs.py --publish RUN."
            )
        run = self._run(content["run"])
        if run.state != "complete":
            raise DataError(
                f"{pointer}: names {run.name}, whose manifest.json is missing or damaged. "
                "Publish another run with jobs/runs.py --publish RUN."
            )
        return run

    def runs(self) -> list[Run]:
        """All runs, by date and number."""
        names = (name for name in files.list_names(f"{self.uri}/runs") if _is_run(name))
        return sorted((self._run(name) for name in names), key=lambda run: run.sort_key)

    def last_complete_run(self) -> Run | None:
        """The run that was completed last, whatever its date: the next night continues its indexes.

        Not the published run: after a rollback, ids would get other indexes.
        """
        manifests = [(run.manifest(), run) for run in self.runs()]
        complete = [
            (manifest["completed_at"], run.sort_key, run) for manifest, run in manifests if manifest
        ]
        return max(complete)[2] if complete else None

    def night_before(self, run: Run) -> Run | None:
        """The run of an earlier date that a run is compared with and starts from.

        The published one; or, if its date is not earlier (a backfill, a rerun), the newest complete
        one.
        """
        published = self.published_run()
        if published is not None and published.sort_key[0] < run.sort_key[0]:
            return published
        earlier = self.complete_runs_before(run)
        return earlier[-1] if earlier else None

    def complete_runs_before(self, run: Run) -> list[Run]:
        """The last complete run of each earlier date, by date."""
        found = [
            r for r in self.runs() if r.sort_key[0] < run.sort_key[0] and r.state == "complete"
        ]
        return list({r.sort_key[0]: r for r in found}.values())

    def newest_run(self, run_date: date) -> Run | None:
        """The last run of a date; None: there is none."""
        numbers = self._numbers(run_date)
        return self._run(f"{run_date}.{numbers[-1]}") if numbers else None

    def open_run(self, run_date: date) -> Run:
        """A new, empty run for a date."""
        numbers = self._numbers(run_date)
        return self._run(f"{run_date}.{numbers[-1] + 1 if numbers else 1}")

    def publish(self, run: Run, withdrawn: str | None = None) -> None:
        """Moves the pointer to a complete run.

        Args:
            withdrawn: the run that was published until now, if it is taken back.

        Raises:
            LockedError: when the lock was lost.
            DataError: when the run is not complete.
        """
        self.check_lock()
        if run.state != "complete":
            raise DataError(f"{run.uri}: is {run.state}; only a complete run can be published.")
        pointer = {"run": run.name, "path": f"runs/{run.name}", "published_at": now()}
        if withdrawn is not None:
            pointer["withdrawn"] = withdrawn
        files.write_json(f"{self.uri}/LATEST.json", pointer)

    def withdrawn_run(self) -> str | None:
        """The name of the run that was taken back when the published one replaced it."""
        pointer = f"{self.uri}/LATEST.json"
        return files.read_json(pointer).get("withdrawn") if files.exists(pointer) else None

    def delete_old_runs(self, keep: int, in_use: Run) -> list[str]:
        """Deletes all but the newest runs.

        Also kept are the published run, the last complete one, the one `in_use`, and the runs that
        these were made from.

        Returns:
            The names of the deleted runs.
        """
        runs = self.runs()
        roots = [in_use, self.published_run(), self.last_complete_run()]
        kept = {run.name for run in [*runs[-keep:], *filter(None, roots)]}
        kept |= {run.based_on() or run.name for run in filter(None, roots)}
        old = [run for run in runs if run.name not in kept]
        for run in old:
            # The manifest first: a reader must not find a part of a run.
            files.delete(f"{run.uri}/manifest.json")
            files.delete(run.uri)
        return [run.name for run in old]

    def _run(self, name: str) -> Run:
        return Run(f"{self.uri}/runs/{name}")

    def _numbers(self, run_date: date) -> list[int]:
        return [run.sort_key[1] for run in self.runs() if run.sort_key[0] == str(run_date)]


def _is_run(name: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d\.\d+", name) is not None
