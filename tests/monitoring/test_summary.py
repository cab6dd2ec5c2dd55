from ncf_spark.monitoring.summary import night_summary
from tests.monitoring.night_facts import RECORDS, facts, figure

PAGE = """\
Night of 2026-11-23, run 2026-11-23.2

Input
  1,200  raw events
  1,020  events used
    900  interactions
     80  users known
    150  items known
  from s3a://shop/orders

Dropped events, and why
   30  the user id is null or empty (2.5%)
  150  another event is equal to it (12.5%)
  4  items with events that are not in the catalogue
  50  recipients: no_consent
   7  recipients: suppressed

Model quality
  ndcg@10 full: neumf 0.2500 (0.2400 to 0.2600); last night 0.2702 (-0.0202); last night's model on tonight's holdout 0.2400 (+0.0100); popularity 0.1000 (+0.1500)
  Last night is run 2026-11-22.1, each on the holdout of its own night.

Gates
  events: 1,020 lies between 900 and 1,500, around the median of 5 nights

Output
     80  users with recommendations
  1,234  rows to send
  3,702  slots: from the model
     12  slots: best-sellers
  s3a://shop/w/runs/2026-11-23.2/campaign_files
  s3a://shop/w/runs/2026-11-23.2/report/index.html

Duration
  117 s: build_interactions 12 s, train 100 s, score_users 2 s, export_campaign 3 s

Published
  Yes: s3a://shop/w/runs/2026-11-23.2, which LATEST.json names.
"""  # noqa: E501


def test_a_night_fits_on_a_page_that_can_be_foretold():
    assert night_summary(facts()) == PAGE


def test_the_first_night_has_nothing_to_compare_with():
    page = night_summary(facts(before=None, metrics_before=[]))
    assert "There is no published run before to compare with." in page
    assert "last night 0" not in page


def test_when_last_nights_model_is_published_again_it_is_not_beside_itself():
    page = night_summary(facts(own="last_night", before=("2026-11-22.1", "mf")))
    assert "last_night 0.2400; last night 0.2702 (-0.0302); popularity" in page


def test_a_night_that_is_not_published_says_why():
    outcome = "No: the model's ndcg is below popularity's. Meanwhile 2026-11-22.1 stays published."
    page = night_summary(facts(published=False, outcome=outcome, verdicts=[]))
    assert page.endswith(f"Published\n  {outcome}\n")
    assert "Gates" not in page


def test_a_night_that_dropped_nothing_says_so():
    events = {"raw": 5, "dropped": {"duplicates": 0}, "used": 5, "interactions": 5}
    result = {**RECORDS["build_interactions"]["result"], "events": events}
    page = night_summary(facts(records={"build_interactions": {"result": result}}))
    assert "Dropped events, and why\n  no event\n" in page


def test_what_is_not_known_is_left_out():
    page = night_summary(facts(records={}, metrics=[figure("popularity", 0.1)]))
    assert "Input" not in page
    assert "ndcg@10" not in page


def test_its_order_does_not_depend_on_that_of_the_figures():
    shuffled = facts(metrics=[*reversed(facts().metrics)])
    assert night_summary(shuffled) == PAGE
    assert RECORDS["build_interactions"]["result"]["events"]["raw"] == 1200
