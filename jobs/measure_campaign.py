"""campaign_recipients and later events -> a campaign's results: rates of each arm, and lifts."""

from ncf_spark.measurement.step import measure_campaign
from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "measure_campaign", __doc__, measure_campaign, run="none")
