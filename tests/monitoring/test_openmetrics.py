from datetime import datetime, timezone

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_format

from ncf_spark.monitoring.openmetrics import exposition
from tests.monitoring.night_facts import facts, figure

NOW = datetime(2026, 11, 24, 4, 30, tzinfo=timezone.utc)

LABELS = ("run", "step", "table", "reason", "model", "protocol", "metric", "k")


def samples(text: bytes, parse=text_string_to_metric_families) -> dict[tuple, float]:
    """(name, labels' values …) → value; those of a metric in the order of its row."""
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): (
            sample.value
        )
        for family in parse(text.decode())
        for sample in family.samples
    }


def test_a_parser_of_openmetrics_reads_every_figure():
    assert samples(exposition(facts(), NOW)) == {
        ("ncf_run_date_timestamp_seconds",): 1795392000.0,
        ("ncf_run_info", "2026-11-23.2"): 1,
        ("ncf_run_published",): 1,
        ("ncf_last_success_timestamp_seconds",): NOW.timestamp(),
        ("ncf_step_duration_seconds", "build_interactions"): 12.3,
        ("ncf_step_duration_seconds", "train"): 100,
        ("ncf_step_duration_seconds", "score_users"): 2,
        ("ncf_step_duration_seconds", "export_campaign"): 3,
        ("ncf_table_rows", "interactions"): 900,
        ("ncf_table_rows", "user_index"): 80,
        ("ncf_table_rows", "item_index"): 150,
        ("ncf_table_rows", "model/user_vectors"): 80,
        ("ncf_table_rows", "user_topk"): 1600,
        ("ncf_table_rows", "campaign"): 1234,
        ("ncf_dropped_events_ratio", "no_user"): 0.025,
        ("ncf_dropped_events_ratio", "bad_time"): 0,
        ("ncf_dropped_events_ratio", "duplicates"): 0.125,
        ("ncf_model_metric", "neumf", "full", "ndcg", "10"): 0.25,
        ("ncf_model_metric", "neumf", "full", "coverage", "10"): 0.4,
        ("ncf_model_metric", "popularity", "full", "ndcg", "10"): 0.1,
        ("ncf_model_metric", "last_night", "full", "ndcg", "10"): 0.24,
    }


def test_it_is_a_text_of_the_older_format_as_well_which_node_exporter_reads():
    text = exposition(facts(), NOW)
    assert samples(text, older_format) == samples(text)


def test_a_refused_night_keeps_the_last_success_and_before_the_first_there_is_none():
    text = exposition(facts(published=False), NOW)
    assert samples(text)["ncf_run_published",] == 0
    assert samples(text)["ncf_last_success_timestamp_seconds",] == NOW.timestamp()
    assert b"last_success" not in exposition(facts(published=False), None)


def test_names_with_quotes_and_no_events_do_no_harm():
    odd = 'als "64"\\\n'
    text = exposition(facts(records={}, metrics=[figure(odd, 0.5)]), None)
    assert samples(text)["ncf_model_metric", odd, "full", "ndcg", "10"] == 0.5
