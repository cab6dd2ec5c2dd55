"""Looks at the customer's tables as a night's first step does, and says what is in them."""

from ncf_spark.inputs.report import check_input, suggest_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "check_input", __doc__, check_input, run="none", suggest=suggest_config)
