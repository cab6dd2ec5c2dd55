"""Nothing -> events, items and recipients in generate.path, for trials and tests."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main
from ncf_spark.preparation.generated import generate_events

if __name__ == "__main__":
    main(STEPS, "generate_events", __doc__, generate_events, run="none")
