"""Run by Airflow's own Python for test_airflow.py: what Airflow makes of the DAG.

Arguments: the folder of the DAG, the folder that stands for the checkout, and the nights to run, as
JSON: for each the exit statuses of each step, `{"evaluate": [1, 0]}`; a step that is not named ends
with 0. Prints JSON: `dag`, what the file says, and `nights`, how each ended.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag

BEGINS_AT = datetime(2026, 11, 2, 1, 30, tzinfo=timezone.utc)


def described(bag: DagBag) -> dict[str, Any]:
    """What the file says."""
    dag = bag.dags["ncf_nightly"]
    [deadline] = dag.deadline
    return {
        "dags": list(bag.dags),
        "errors": bag.import_errors,
        "order": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "retries": {task.task_id: task.retries for task in dag.tasks},
        "retry_minutes": {task.retry_delay.total_seconds() / 60 for task in dag.tasks}.pop(),
        "deadline_minutes": deadline.interval.total_seconds() / 60,
        "mail": deadline.callback.kwargs["to"],
        "schedule": dag.timetable.expression,
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
    }


def night(bag: DagBag, home: Path, number: int, statuses: dict[str, list[int]]) -> dict[str, Any]:
    """Runs one night, in which steps end as they are told to."""
    dag = bag.dags["ncf_nightly"]
    # Airflow 3.3's own way to run a night for a test does not know deadlines.
    dag.deadline = None
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    calls = home / "calls.jsonl"
    calls.write_text("")
    (home / "statuses.json").write_text(json.dumps(statuses))
    begins = BEGINS_AT + timedelta(days=number)
    run = dag.test(logical_date=begins, run_after=begins)
    return {
        "state": str(run.state),
        "tasks": {ti.task_id: str(ti.state) for ti in run.get_task_instances()},
        "calls": [json.loads(line) for line in calls.read_text().splitlines()],
    }


def main() -> None:
    folder, home, nights = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    bag = DagBag(folder)
    found = {"dag": described(bag)}
    found["nights"] = [night(bag, home, n, statuses) for n, statuses in enumerate(nights)]
    (home / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
