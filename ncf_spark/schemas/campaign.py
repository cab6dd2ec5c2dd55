"""Tables of people, and of what is sent to them."""

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
    StructField,
    StructType,
    TimestampType,
)

from ncf_spark.schemas.columns import ITEM_ID, ITEM_INDEX_COLUMN, RANK, USER_ID, column
from ncf_spark.schemas.preparation import CATALOGUE

# Grain: item_id, the items of the catalogue or with events tonight.
CAMPAIGN_ITEMS = StructType(
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
            "why it is not shown, a code of campaign.reasons; null: it may be",
            nullable=True,
        ),
    ]
)

# Grain: item_index, the items that may be recommended tonight.
ELIGIBLE_ITEMS = StructType([ITEM_INDEX_COLUMN])

# Grain: a row of the customer's table, never stored by itself.
RECIPIENTS = StructType(
    [
        column("user_id", StringType(), "null: not given", nullable=True),
        column("user", StringType(), "the id as it is compared; null: not given", nullable=True),
        column("email", StringType(), "to send to; null: not given, or no address", nullable=True),
        column(
            "address", StringType(), "the email as it is compared; null: no address", nullable=True
        ),
        column(
            "spellings",
            ArrayType(StringType()),
            "what a list may know the address by; null: not given",
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
        column("user", StringType(), "an id as it is compared; null: not given", nullable=True),
        column(
            "spellings", ArrayType(StringType()), "of an address; null: not given", nullable=True
        ),
        column("email_sha256", StringType(), "null: not given", nullable=True),
    ]
)

# Grain: user_id; what became of each recipient. Addresses stand in the sent files alone.
CAMPAIGN_RECIPIENTS = StructType(
    [
        column("campaign_id", StringType(), "campaign.id"),
        column("run_date", DateType(), "the night"),
        USER_ID,
        column(
            "arm",
            StringType(),
            "model, popular, or holdout, who gets nothing and is listed for comparison; null: is "
            "not eligible",
            nullable=True,
        ),
        column(
            "reason",
            StringType(),
            "why the user gets no mail, a code of campaign.reasons; null: is written to, or would "
            "be were the arm not holdout",
            nullable=True,
        ),
        column("num_items", IntegerType(), "filled slots; 0 without a mail"),
    ]
)

# Grain: (arm, outcome); what a campaign brought. The columns from `difference` on compare the arm
# `model` with the row's arm, and are null on the rows of `model` itself.
CAMPAIGN_RESULTS = StructType(
    [
        column("campaign_id", StringType(), "campaign.id"),
        column("run_date", DateType(), "the night"),
        column("arm", StringType(), "model, popular or holdout"),
        column("outcome", StringType(), "sent, opened, clicked, bought, or revenue"),
        column("num_users", LongType(), "of the arm, whatever became of them; at least 1"),
        column("num_with", LongType(), "of these, with the outcome; revenue: that is not 0"),
        column("value", DoubleType(), "num_with / num_users; revenue: mean of the users"),
        column("difference", DoubleType(), "value of model - value; null: model", nullable=True),
        column("difference_low", DoubleType(), "of 95 % interval; null: model", nullable=True),
        column("difference_high", DoubleType(), "of 95 % interval; null: model", nullable=True),
        column("lift", DoubleType(), "difference / value; null: model, or by 0", nullable=True),
        column("lift_low", DoubleType(), "of 95 % interval; null: no lift", nullable=True),
        column("lift_high", DoubleType(), "of 95 % interval; null: no lift", nullable=True),
        column(
            "p_value",
            DoubleType(),
            "of the two-proportion test; null: model, revenue, or all or none of both arms have it",
            nullable=True,
        ),
    ]
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

# Grain: user_id, the recipients who are written to; what the files of a campaign are made from.
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

# Grain: key; what a campaign's last export held, by which the next one tells what changed.
CAMPAIGN_STATE = StructType(
    [
        column("key", StringType(), "whom the row is of in the file: address, hash or id"),
        column("row_hash", LongType(), "of what a mail shows and who gets it"),
        column("updated_at", TimestampType(), "the export in which the row last changed"),
    ]
)

# Grain: (user_id, rank), the long form of a campaign.
CAMPAIGN_LONG = StructType(
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
    ]
)

# Grain: (kind, reason): what a campaign left out and what filled it.
CAMPAIGN_REPORT = StructType(
    [
        column("kind", StringType(), "recipient, item, pair, slot, arm or list"),
        column(
            "reason",
            StringType(),
            "a code of campaign.reasons; of slots the source; of arms the arm; of suppression "
            "lists the name",
        ),
        column("num", LongType(), "recipients (also of lists), items, pairs or slots"),
    ]
)


def campaign_schema(k: int) -> StructType:
    """The campaign's wide form, one recipient a row: item_1 … item_k with their metadata.

    Slots after a recipient's last recommendation are null.
    """
    head = [field for field in CAMPAIGN_LONG if field.name in CAMPAIGN_RECIPIENT]
    slots = [
        StructField(slot_column(name, rank), CAMPAIGN_LONG[name].dataType, True)
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
