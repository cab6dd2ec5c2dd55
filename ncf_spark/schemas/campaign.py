"""Tables of recipients and of campaigns."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from ncf_spark.schemas.columns import ITEM_ID, ITEM_INDEX_COLUMN, RANK, USER_ID, column, table
from ncf_spark.schemas.preparation import CATALOGUE

CAMPAIGN_ITEMS = table(
    "campaign_items",
    "An item of the catalogue or with events tonight, and why it may not be shown.",
    ("item_id",),
    [
        ITEM_ID,
        column("item_index", IntegerType(), "null: no event tonight", nullable=True),
        *[field for field in CATALOGUE if field.name in ("title", "category", "brand")],
        *[field for field in CATALOGUE if field.name in ("price", "url", "image_url")],
        CATALOGUE["countries"],
        column("is_pinned", BooleanType(), "campaign.lists.pin holds"),
        column("is_consumable", BooleanType(), "campaign.pairs.consumable holds"),
        column("boost", DoubleType(), "campaign.lists.boost, else 0"),
        column(
            "reason",
            StringType(),
            "why it may not be shown, a code of campaign.reasons; null: it may",
            nullable=True,
        ),
    ],
)

ELIGIBLE_ITEMS = table(
    "eligible_items",
    "An item that may be recommended tonight.",
    ("item_index",),
    [ITEM_INDEX_COLUMN],
)

# Grain: a row of the customer's table, never stored by itself.
RECIPIENTS = StructType(
    [
        column("user_id", StringType(), "null: not given", nullable=True),
        column("user", StringType(), "canonical form of the id; null: not given", nullable=True),
        column("email", StringType(), "to send to; null: not given, or no address", nullable=True),
        column(
            "address", StringType(), "canonical form of the email; null: no address", nullable=True
        ),
        column(
            "spellings",
            ArrayType(StringType()),
            "forms of the address that a list may have; null: not given",
            nullable=True,
        ),
        column("locale", StringType(), "null: not given", nullable=True),
        column("country", StringType(), "null: not given", nullable=True),
        column("segment", StringType(), "null: not given", nullable=True),
        column("consent", BooleanType(), "null: unknown, which is no consent", nullable=True),
        column("last_sent_at", TimestampType(), "of the last mail; null: unknown", nullable=True),
    ]
)

# Grain: a row of the customer's table: a mail, or an item in it.
SEND_LOG = StructType(
    [
        column("user_id", StringType(), "null: not given", nullable=True),
        column("item_id", StringType(), "null: a row is a mail", nullable=True),
        column("campaign_id", StringType(), "null: not given", nullable=True),
        column("sent_at", TimestampType(), "null: not readable", nullable=True),
    ]
)

# Grain: a row of one of the customer's lists.
SUPPRESSIONS = StructType(
    [
        column("user", StringType(), "canonical form of an id; null: not given", nullable=True),
        column(
            "spellings", ArrayType(StringType()), "of an address; null: not given", nullable=True
        ),
        column("email_sha256", StringType(), "null: not given", nullable=True),
    ]
)

CAMPAIGN_RECIPIENTS = table(
    "campaign_recipients",
    "A recipient, and why there is no mail. Holds no addresses.",
    ("user_id",),
    [
        column("campaign_id", StringType(), "campaign.id"),
        column("run_date", DateType(), "the night"),
        USER_ID,
        column(
            "arm",
            StringType(),
            "model, popular, or holdout (no mail, listed for comparison); null: not eligible",
            nullable=True,
        ),
        column(
            "reason",
            StringType(),
            "why there is no mail, a code of campaign.reasons; null: there is, or the arm is "
            "holdout",
            nullable=True,
        ),
        column("num_items", IntegerType(), "filled slots; 0: no mail"),
    ],
)

CAMPAIGN_RESULTS = table(
    "measurements/<campaign>/<date>/results",
    "An outcome of an arm of a campaign. Written by `jobs/measure_campaign.py` "
    "below the warehouse. The columns from `difference` on compare the arm `model` with the "
    "row's arm; they are null on the rows of `model` itself.",
    ("arm", "outcome"),
    [
        column("campaign_id", StringType(), "campaign.id"),
        column("run_date", DateType(), "the night"),
        column("arm", StringType(), "model, popular or holdout"),
        column("outcome", StringType(), "sent, opened, clicked, bought, or revenue"),
        column("num_users", LongType(), "of the arm, with or without mail; at least 1"),
        column("num_with", LongType(), "of these, with the outcome; revenue: with revenue"),
        column("value", DoubleType(), "num_with / num_users; revenue: mean of the users"),
        column("difference", DoubleType(), "value of model - value; null: model", nullable=True),
        column("difference_low", DoubleType(), "of the 95 % interval; null: model", nullable=True),
        column("difference_high", DoubleType(), "of the 95 % interval; null: model", nullable=True),
        column("lift", DoubleType(), "difference / value; null: model, or by 0", nullable=True),
        column("lift_low", DoubleType(), "of the 95 % interval; null: no lift", nullable=True),
        column("lift_high", DoubleType(), "of the 95 % interval; null: no lift", nullable=True),
        column(
            "p_value",
            DoubleType(),
            "of the two-proportion test; null: model, revenue, or all or none of both arms have it",
            nullable=True,
        ),
    ],
)

# One slot of a list: what a mail shows of an item.
CAMPAIGN_SLOT = StructType(
    [
        ITEM_ID,
        column("title", StringType(), "null: not given", nullable=True),
        column("url", StringType(), "null: not given", nullable=True),
        column("image_url", StringType(), "null: not given", nullable=True),
        column("price", DoubleType(), "in the shop's currency; null: not given", nullable=True),
        column("score", FloatType(), "as in user_topk; null: not scored", nullable=True),
        column("source", StringType(), "what filled the slot: model, or a baseline's name"),
    ]
)

# Grain: user_id, the recipients with mail. The files of a campaign are made from it.
CAMPAIGN_LISTS = StructType(
    [
        USER_ID,
        column("email", StringType(), "null: not given", nullable=True),
        column("locale", StringType(), "null: not given", nullable=True),
        column("country", StringType(), "null: not given", nullable=True),
        column("segment", StringType(), "null: not given", nullable=True),
        column("arm", StringType(), "model or popular"),
        column("slots", ArrayType(CAMPAIGN_SLOT, False), "1 to k, by rank"),
    ]
)

CAMPAIGN_STATE = table(
    "campaign_state/<profile>",
    "A person in the last export of a profile, by which the next night's "
    "`campaign.files.deltas` finds what changed.",
    ("key",),
    [
        column("key", StringType(), "the person in the file: address, hash or id"),
        column("row_hash", LongType(), "of what the mail shows and who gets it"),
        column("updated_at", TimestampType(), "the export in which the row last changed"),
    ],
)

CAMPAIGN_LONG = table(
    "campaign_long",
    "A filled slot of a recipient.",
    ("user_id", "rank"),
    [
        column("campaign_id", StringType(), "campaign.id"),
        column("run_date", DateType(), "the night"),
        USER_ID,
        *[RECIPIENTS[name] for name in ("email", "locale", "country", "segment")],
        column("arm", StringType(), "model, or popular: best-sellers for comparison"),
        RANK,
        ITEM_ID,
        column("title", StringType(), "null: not given", nullable=True),
        column("url", StringType(), "null: not given", nullable=True),
        column("image_url", StringType(), "null: not given", nullable=True),
        column("price", DoubleType(), "null: not given", nullable=True),
        column(
            "score",
            FloatType(),
            "of the model as in user_topk, of neighbours as in item_topk, of best-sellers the "
            "buyers; null: a pin",
            nullable=True,
        ),
        column(
            "source",
            StringType(),
            "what filled the slot: pin, model or a baseline's name, bought_together, similar, "
            "bestseller_here (of the user's country or segment), bestseller",
        ),
    ],
)

CAMPAIGN_REPORT = table(
    "campaign_report",
    "A reason: how many recipients, items and pairs each rule left out, how many slots each "
    "source filled, how many recipients each suppression list names.",
    ("kind", "reason"),
    [
        column("kind", StringType(), "recipient, item, pair, slot, arm or list"),
        column(
            "reason",
            StringType(),
            "a code of campaign.reasons; of slots the source; of arms the arm; of suppression "
            "lists the name",
        ),
        column("num", LongType(), "recipients (also of lists), items, pairs or slots"),
    ],
)


def campaign_schema(k: int) -> StructType:
    """The wide form of a campaign, one recipient per row: item_1 … item_k with their metadata.

    Slots after a recipient's last recommendation are null.
    """
    head = [field for field in CAMPAIGN_LONG if field.name in CAMPAIGN_RECIPIENT]
    slots = [
        column(
            slot_column(name, rank),
            CAMPAIGN_LONG[name].dataType,
            f"{name} in slot {rank}; null: not given, or the slot is empty",
            nullable=True,
        )
        for rank in range(1, k + 1)
        for name in SLOT_COLUMNS
    ]
    return StructType([*head, *slots])


CAMPAIGN_RECIPIENT = (
    *("campaign_id", "run_date", "user_id", "email", "locale", "country", "segment", "arm"),
)

SLOT_COLUMNS = ("item_id", "title", "url", "image_url", "price", "score", "source")


def slot_column(name: str, rank: int) -> str:
    """`item_1` for the id in slot 1, `title_1` for its title."""
    return f"{name.removesuffix('_id')}_{rank}"


table(
    "campaign",
    "A recipient with mail, with its slots side by side: `item_1` … `item_<k>` with their columns.",
    ("user_id",),
    campaign_schema(1),
)
