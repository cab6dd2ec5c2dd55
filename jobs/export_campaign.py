"""user_topk, recipients and rules -> campaign, campaign_long, campaign_recipients, report, CSV."""

from ncf_spark.job import main
from ncf_spark.job.campaign import write_campaign as run
from ncf_spark.job.explaining import explain

if __name__ == "__main__":
    main(run, "export_campaign", __doc__, explain=explain)
