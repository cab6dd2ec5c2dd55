"""user_topk, recipients and rules -> campaign, campaign_long, campaign_recipients, report, CSV."""

from ncf_spark.campaign.explain import explain
from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import main

if __name__ == "__main__":
    main(STEPS, "export_campaign", __doc__, explain=explain)
