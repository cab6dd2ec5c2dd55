"""Champion, split and eligibility -> user_topk: each user's best items that they don't know."""

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign.items import build_eligible_items
from ncf_spark.job import Job, main
from ncf_spark.job.champion import champion_users, read_champion
from ncf_spark.job.eligibility import mask_known, write_campaign_items
from ncf_spark.scoring.spark import build_trained_users, build_user_topk
from ncf_spark.scoring.spec import ScorerSpec


def run(job: Job) -> None:
    """Scores the users of train with the night's champion, of whichever kind."""
    settings, champion, uri = job.config.scoring, read_champion(job), job.run.table_uri
    items = write_campaign_items(job)
    remedy = "No item with events may be shown; campaign_items gives each one's reason."
    job.write(
        "eligible_items", build_eligible_items(items), schemas.ELIGIBLE_ITEMS, if_empty=remedy
    )
    users = mask_known(job, build_trained_users(job.read("split", schemas.SPLIT)), items)
    scorer = ScorerSpec(
        champion.kind,
        uri(champion.place),
        settings.block_bytes,
        job.num_rows("item_index"),
        items_uri=uri("eligible_items"),
    )
    topk = build_user_topk(
        champion_users(job, champion, users), scorer=scorer, k=settings.k, source=champion.source
    )
    users_with_some = {"users": F.count_if(F.col("rank") == 1)}
    job.write("user_topk", topk, schemas.USER_TOPK, counts=users_with_some)
    job.note("users with recommendations", job.counts["user_topk"]["users"])


if __name__ == "__main__":
    main(run, "score_users", __doc__)
