"""The words of shops and marketing tools for people who agreed to mail, and who get none."""

from __future__ import annotations

import re
from collections.abc import Collection

from pyspark.sql import Column
from pyspark.sql import functions as F

# Written as by `_word`: lower case, without white space, _ and -.
_YES = (
    *("true", "t", "yes", "y", "1", "1.0", "on"),
    *("subscribed", "optedin", "optin"),  # Klaviyo, Mailchimp, Braze, Shopify, Brevo
    *("singleoptin", "doubleoptin", "confirmedoptin", "confirmed"),
    *("granted", "accepted", "accepts", "acceptsmarketing", "consented", "agreed"),
)
# A subscription that is not confirmed, or never was, is no consent.
_NO = (
    *("false", "f", "no", "n", "0", "0.0", "off"),
    *("unsubscribed", "neversubscribed", "notsubscribed", "nonsubscribed", "optedout", "optout"),
    *("pending", "unconfirmed", "notset", "invalid", "redacted", "suppressed"),  # Klaviyo, Shopify
    *("cleaned", "archived", "transactional"),  # Mailchimp
    *("bounced", "hardbounced", "complained", "spam", "blocked", "blacklisted", "blocklisted"),
    *("denied", "declined", "refused", "rejected", "revoked", "withdrawn", "deleted"),
)

# In the name of a column or file: it is about people who get no mail.
_NO_MAIL = re.compile(
    r"""(?ix)
    unsub | opt(ed)?[\W_]*out | do[\W_]*not | dont | suppress | block | black[\W_]*list | bounc
    | complain | cleaned | spam | robinson
    | abmeld | abgemeld | abbestell | gesperrt | sperrliste | widerruf | widerspr  # German
    | d[eé]sabo | d[eé]sinscri | baja | disiscri  # French, Spanish, Italian
    """
)


def means_no_mail(name: str) -> bool:
    """Whether the name of a column or file says that people in it get no mail."""
    return _NO_MAIL.search(name) is not None


def consent(text: Column, yes: Collection[str] = (), no: Collection[str] = ()) -> Column:
    """Whether a text says yes to mail; null: it is empty or not understood.

    Case, white space, _ and - do not count: `Opted In` is `opted_in`.

    Args:
        yes: further words that mean yes, whatever they mean otherwise.
        no: further words that mean no.
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
    # The sign of -1 stays.
    joined = F.regexp_replace(text, r"[\p{Z}\p{C}_]+|(?<=[\p{L}\p{Z}_])-(?=[\p{L}\p{Z}_])", "")
    return F.lower(joined)
