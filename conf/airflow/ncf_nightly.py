"""The night as an Airflow DAG: one task for each step, in the order of `jobs/nightly.py`.

Copy this file to Airflow's DAG folder. It takes its settings from the environment of Airflow's
processes; the address of Spark is the Airflow connection `spark_default`.

    NCF_HOME             the checkout with `jobs/`, where .venv has spark-submit (/opt/ncf-spark)
    NCF_CONFIG           the configuration (conf/base.yaml)
    NCF_SPARK_CONF       Spark's properties file (conf/spark/standalone.conf)
    NCF_SPARK_CONF_TRAIN  the same for `train` alone, such as one that asks for GPUs
                         (NCF_SPARK_CONF)
    NCF_SCHEDULE         when a night starts, as a cron expression in UTC (30 1 * * *)
    NCF_DEADLINE_MINUTES  minutes after the start until an unfinished night counts as late (240)
    NCF_ALERT_EMAIL      who gets an email when it is late (root@localhost), through the
                         connection `smtp_default`

A night that starts at 01:30 has the run date of the day before, whose events are complete; the
parameter `run_date` sets another date. Relative paths start at NCF_HOME.

What a step's exit status means to Airflow:

    0  done
    3  a quality gate refused to publish: the task is skipped, which is no failure and not retried;
       yesterday's tables stay published
    2  the configuration or the input is wrong: failed at once, because a retry would fail too
    1  and any other, such as a lost machine: retried
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import (
    DAG,
    AsyncCallback,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    chain,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

# The steps of ncf_spark/night.py; a test compares them.
STEPS = (
    "build_interactions",
    "score_item_activity",
    "train",
    "evaluate",
    "score_users",
    "similar_items",
    "export_campaign",
)

WRONG_INPUT, REFUSED = 2, 3

HOME = os.environ.get("NCF_HOME", "/opt/ncf-spark")
CONFIG = os.environ.get("NCF_CONFIG", "conf/base.yaml")
SPARK_CONF = os.environ.get("NCF_SPARK_CONF", "conf/spark/standalone.conf")
SPARK_CONF_TRAIN = os.environ.get("NCF_SPARK_CONF_TRAIN", SPARK_CONF)
SCHEDULE = os.environ.get("NCF_SCHEDULE", "30 1 * * *")
DEADLINE_MINUTES = int(os.environ.get("NCF_DEADLINE_MINUTES", "240"))
ALERT_EMAIL = os.environ.get("NCF_ALERT_EMAIL", "root@localhost")

# A night that is started by hand has `run_after` too, but maybe no logical date.
RUN_DATE = "{{ params.run_date or macros.ds_add(dag_run.run_after | ds, -1) }}"


class Step(SparkSubmitOperator):
    """One of the jobs, whose exit status says whether a retry can help."""

    def execute(self, context: Any) -> None:
        """Runs the spark-submit of NCF_HOME's .venv in NCF_HOME, where relative paths start.

        Raises:
            AirflowSkipException: when a quality gate refused to publish.
            AirflowFailException: when the configuration or the input is wrong.
            AirflowException: for any other failure.
        """
        os.chdir(HOME)
        os.environ["PATH"] = os.pathsep.join([f"{HOME}/.venv/bin", os.environ["PATH"]])
        try:
            super().execute(context)
        except AirflowException as error:
            found = re.search(r"Error code is: (\d+)", str(error))
            status = int(found[1]) if found else None
            if status == REFUSED:
                raise AirflowSkipException(
                    f"{self.task_id}: a quality gate refused to publish; the tables of the night "
                    "before stay published. The log above says which gate, and why."
                ) from error
            if status == WRONG_INPUT:
                raise AirflowFailException(
                    f"{self.task_id}: the configuration or the input is wrong, so it is not "
                    "retried. The log above names the place and the remedy."
                ) from error
            raise


def step(name: str) -> Step:
    """The task of one step."""
    return Step(
        task_id=name,
        application=os.path.join(HOME, "jobs", f"{name}.py"),
        application_args=["--config", CONFIG, "--run-date", RUN_DATE],
        properties_file=SPARK_CONF_TRAIN if name == "train" else SPARK_CONF,
        # In cluster mode, the exit status of spark-submit is not that of the job.
        deploy_mode="client",
        name=f"ncf {name}",
    )


with DAG(
    dag_id="ncf_nightly",
    description="Recommendations of the day: events in, campaign out",
    schedule=CronTriggerTimetable(SCHEDULE, timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # One night at a time: each continues from the indexes of the last one.
    max_active_runs=1,
    params={"run_date": Param(None, type=["null", "string"], format="date")},
    default_args={
        "retries": 2,
        # Long enough for a lost machine's executors to be replaced.
        "retry_delay": timedelta(minutes=10),
    },
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=DEADLINE_MINUTES),
        callback=AsyncCallback(
            SmtpNotifier,
            kwargs={
                "to": ALERT_EMAIL,
                "subject": "ncf_nightly is late",
                "html_content": f"It had not finished {DEADLINE_MINUTES} minutes after its start.",
            },
        ),
    ),
    tags=["ncf-spark"],
) as dag:
    chain(*(step(name) for name in STEPS))
