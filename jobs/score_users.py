"""Champion, split and eligibility -> user_topk: each user's best items that they don't know."""

from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "score_users", __doc__)
