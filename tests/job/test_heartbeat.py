import logging
import time

from ncf_spark.job.heartbeat import heartbeat


def test_a_long_step_says_how_far_it_is_in_words_and_in_numbers(spark, caplog):
    caplog.set_level(logging.INFO, "ncf_spark")
    numbers = spark.sparkContext.parallelize(range(4), 4)
    with heartbeat(spark, "score_users", every_s=0.1):
        numbers.foreach(lambda _: time.sleep(0.5))
    told = [record for record in caplog.records if "tasks done" in record.getMessage()]
    assert told
    assert "score_users: running for " in told[0].getMessage()
    assert max(record.numbers["num_tasks"] for record in told) == 4
    assert all(0 <= record.numbers["tasks_done"] <= 4 for record in told)
    caplog.clear()
    time.sleep(0.3)
    assert caplog.records == []
