import logging
import time

from ncf_spark.pipeline.heartbeat import heartbeat


def test_a_long_step_says_what_is_running_and_how_far_it_is(spark, caplog):
    caplog.set_level(logging.INFO, "ncf_spark")
    numbers = spark.sparkContext.parallelize(range(4), 4)
    with heartbeat(spark, "score_users", lambda: "user_topk", every_s=0.1):
        numbers.foreach(lambda _: time.sleep(0.5))
    said = [record for record in caplog.records if "tasks" in record.getMessage()]
    assert said
    assert said[0].getMessage() == "score_users, after 0 s: user_topk, 0 of 4 tasks"
    assert max(record.numbers["num_tasks"] for record in said) == 4
    assert all(0 <= record.numbers["tasks_done"] <= 4 for record in said)
    caplog.clear()
    time.sleep(0.3)
    assert caplog.records == []


def test_without_tasks_of_spark_only_what_is_running_is_said(spark, caplog):
    caplog.set_level(logging.INFO, "ncf_spark")
    with heartbeat(spark, "train", lambda: "neumf on 2 workers", every_s=0.05):
        time.sleep(0.3)
    assert caplog.records[0].getMessage() == "train, after 0 s: neumf on 2 workers"
