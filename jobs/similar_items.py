"""Champion or model, and history -> item_topk: each item's nearest eligible neighbours."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "similar_items", __doc__)
