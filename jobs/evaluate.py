"""Models, baselines and holdout -> ranks, metrics, metrics.json, champion, report/index.html."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "evaluate", __doc__)
