"""user_topk, recipients and catalogue -> campaign (one recipient a row), campaign_long and CSV."""

from ncf_spark import schemas
from ncf_spark.campaign.eligibility import build_consenting
from ncf_spark.campaign.export import build_campaign, build_campaign_long
from ncf_spark.job import Job, main
from ncf_spark.job.intake import read_recipients
from ncf_spark.storage.tables import write_csv


def run(job: Job) -> None:
    """Writes the rows to send; as the last step of a night it publishes the run."""
    settings = job.config.campaign
    user_index = job.read("user_index", schemas.USER_INDEX)
    consenting = build_consenting(read_recipients(job, user_index))
    campaign_long = build_campaign_long(
        job.read("user_topk", schemas.USER_TOPK),
        user_index,
        job.read("item_index", schemas.ITEM_INDEX),
        job.read("catalogue", schemas.CATALOGUE),
        consenting,
        campaign_id=settings.id,
        run_date=job.run_date,
        k=settings.k,
        min_items=settings.min_items,
    )
    remedy = (
        "No recipient gave consent and has campaign.min_items recommendations: compare the ids."
    )
    schema, wide_schema = schemas.CAMPAIGN_LONG, schemas.campaign_schema(settings.k)
    campaign_long = job.write("campaign_long", campaign_long, schema, if_empty=remedy)
    campaign = job.write("campaign", build_campaign(campaign_long, k=settings.k), wide_schema)
    without = consenting.count() - job.num_rows("campaign")
    job.note("consenting recipients without enough recommendations, left out", without)
    write_csv(campaign, job.run.table_uri("campaign_csv"))


if __name__ == "__main__":
    main(run, "export_campaign", __doc__)
