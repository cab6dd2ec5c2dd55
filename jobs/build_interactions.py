"""Events and catalogue -> history, interactions, indexes, catalogue, and the split."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "build_interactions", __doc__, run="start")
