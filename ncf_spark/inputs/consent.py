"""Whether a recipient agreed to mail: the words that shops and marketing tools use for it."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column
from pyspark.sql import functions as F

# As of `_word`: small letters, without white space, _ and -.
_YES = (
    *("true", "t", "yes", "y", "1", "1.0", "on"),
    *("subscribed", "optedin", "optin"),  # Klaviyo, Mailchimp, Braze, Shopify, Brevo
    *("singleoptin", "doubleoptin", "confirmedoptin", "confirmed"),
    *("granted", "accepted", "accepts", "acceptsmarketing", "consented", "agreed"),
)
# A subscription that is not confirmed, or never was, is none.
_NO = (
    *("false", "f", "no", "n", "0", "0.0", "off"),
    *("unsubscribed", "neversubscribed", "notsubscribed", "nonsubscribed", "optedout", "optout"),
    *("pending", "unconfirmed", "notset", "invalid", "redacted", "suppressed"),  # Klaviyo, Shopify
    *("cleaned", "archived", "transactional"),  # Mailchimp
    *("bounced", "hardbounced", "complained", "spam", "blocked", "blacklisted", "blocklisted"),
    *("denied", "declined", "refused", "rejected", "revoked", "withdrawn", "deleted"),
)


def consent(text: Column, yes: Collection[str] = (), no: Collection[str] = ()) -> Column:
    """Whether a text says yes to mail; null: it says nothing, or nothing that is understood.

    Case, white space, _ and - do not count: `Opted In` is `opted_in`.

    Args:
        yes: further words that mean yes, before what they mean otherwise; `no` likewise.
    """
    word = _word(text)
    own_yes, own_no = ([_word(F.lit(one)) for one in words] for words in (yes, no))
    return (
        F.when(word.isin(*own_yes) if own_yes else F.lit(False), F.lit(True))
        .when(word.isin(*own_no) if own_no else F.lit(False), F.lit(False))
        .when(word.isin(*_YES), F.lit(True))
        .when(word.isin(*_NO), F.lit(False))
    )


def _word(text: Column) -> Column:
    # Not the sign of -1.
    joined = F.regexp_replace(text, r"[\p{Z}\p{C}_]+|(?<=[\p{L}\p{Z}_])-(?=[\p{L}\p{Z}_])", "")
    return F.lower(joined)
