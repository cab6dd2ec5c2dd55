"""Train and item activity -> model: NeuMF, GMF, MLP or MF, by Horovod; and the baselines."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "train", __doc__)
