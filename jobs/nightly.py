"""All steps of a night in one Spark application: events in, campaign out, published at the end."""

from ncf_spark.night import STEPS, run_night
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "nightly", __doc__, run_night, run="start")
