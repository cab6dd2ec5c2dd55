"""Champion and eligible items → user_topk and item_topk, the lists that campaigns are made from."""

from __future__ import annotations

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign.eligibility import build_purchases, with_excluded, write_campaign_items
from ncf_spark.config import Config, Source
from ncf_spark.evaluation.champion import champion_users, item_vectors, read_champion
from ncf_spark.inputs.checks import check_input_files
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.schemas.results import ItemLists, UserLists


def score_users(job: Job) -> UserLists:
    """Champion, split and eligibility → user_topk: each user's best items that they don't know."""
    # Imported when it runs: torch takes a second, and the step may be skipped.
    from ncf_spark.scoring.spark import build_trained_users, build_user_topk
    from ncf_spark.scoring.spec import ScorerSpec

    check_input_files(job)
    settings, champion, uri = job.config.scoring, read_champion(job), job.run.table_uri
    items = write_campaign_items(job)
    users = with_excluded(job, build_trained_users(job.read("split", schemas.SPLIT)), items)
    scorer = ScorerSpec(
        champion.kind,
        uri(champion.path),
        settings.block_bytes,
        job.num_rows("item_index"),
        items_uri=uri("eligible_items"),
    )
    topk = build_user_topk(
        champion_users(job, champion, users), scorer=scorer, k=settings.k, source=champion.source
    )
    users_with_some = {"users": F.count_if(F.col("rank") == 1)}
    job.write("user_topk", topk, schemas.USER_TOPK, counts=users_with_some)
    return UserLists(users_with_recommendations=job.counts["user_topk"]["users"])


def similar_items(job: Job) -> ItemLists:
    """Champion or model, and history → item_topk: each item's nearest eligible neighbours.

    Compares the items with interactions tonight, by their vectors and by their buyers.
    """
    # Imported when it runs: torch and Spark ML take seconds, and the step may be skipped.
    from ncf_spark.scoring.bought_together import build_bought_together
    from ncf_spark.scoring.spark import build_item_topk

    settings, (kind, path) = job.config.scoring, item_vectors(read_champion(job))
    activity = job.read("item_activity", schemas.ITEM_ACTIVITY)
    vectors = job.read(f"{path}/item_vectors", schemas.ITEM_VECTORS)
    by_embedding = build_item_topk(
        vectors.join(activity, on="item_index", how="left_semi"),
        kind=kind,
        uri=job.run.table_uri(path),
        eligible_uri=job.run.finished_table_uri("eligible_items"),
        k=settings.similar_k,
    )
    by_buyers = build_bought_together(
        build_purchases(job, activity),
        job.read("eligible_items", schemas.ELIGIBLE_ITEMS),
        num_items=job.num_rows("item_index"),
        k=settings.similar_k,
        shrinkage=settings.similar_shrinkage,
    )
    topk = job.write("item_topk", by_embedding.unionByName(by_buyers), schemas.ITEM_TOPK)
    return ItemLists(items_with_similar_ones=topk.select("item_index").distinct().count())


def _inputs(config: Config) -> dict[str, Source]:
    found: dict[str, Source] = {"send_log": config.send_log}
    if config.catalogue.columns.countries:
        found["recipients"] = config.recipients
    return found


SCORE_USERS = Step(
    "score_users",
    score_users,
    reads=(
        *("history", "user_index", "item_index", "catalogue", "split", "item_activity"),
        *("model", "compared", "item_popularity", "item_neighbours", "champion"),
    ),
    writes=("campaign_items", "eligible_items", "user_topk"),
    settings=(
        *("model", "scoring", "catalogue", "recipients", "send_log", "campaign.items"),
        *("campaign.pairs.known", "campaign.pairs.bought", "campaign.pairs.wanted"),
        *("campaign.pairs.bought_days", "campaign.pairs.sent_days"),
        *("campaign.pairs.consumable", "campaign.pairs.consumable_days"),
        # Of profiles some take no long URLs.
        *("campaign.lists.pin", "campaign.lists.boost", "campaign.files.profiles"),
    ),
    except_settings=("scoring.block_bytes",),
    inputs=_inputs,
    must_match={
        "build_interactions": ("campaign.pairs.bought_types", "campaign.pairs.wanted_types")
    },
)
SIMILAR_ITEMS = Step(
    "similar_items",
    similar_items,
    reads=(
        *("history", "user_index", "item_index", "item_activity", "model", "compared"),
        *("champion", "eligible_items"),
    ),
    writes=("item_topk",),
    settings=("model", "scoring"),
    except_settings=("scoring.block_bytes",),
)
