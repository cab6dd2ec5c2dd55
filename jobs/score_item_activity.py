"""Interactions and side features -> item_activity: how active each item is, how often drawn."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "score_item_activity", __doc__)
