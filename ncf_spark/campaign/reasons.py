"""Defines the reason codes: why a recipient gets no email, and why an item is not shown.

The rules are checked in the order in which they stand here; the first that applies is the reason.
"""

from __future__ import annotations

RECIPIENTS = {
    "no_consent": "a row of the user does not give consent",
    "no_address": "there is no valid address, and every profile of campaign.files needs one",
    "suppressed": "the user or the address is on a list of section suppressions",
    "shared_address": "another user of the address refused, or is on such a list",
    "not_in_audience": "campaign.audience does not hold",
    "too_frequent": "the user had campaign.frequency.sends emails within its days",
    "same_address": "a more active user of the same address gets the email",
    "too_few_items": "fewer than campaign.min_items items are left, or too few categories",
}

ITEMS = {
    "not_in_catalogue": "the catalogue does not have it",
    "out_of_stock": "catalogue.columns.in_stock says so, or is not readable",
    "not_active": "the run date ends outside active_from and active_until, or these are not "
    "readable",
    "incomplete": "a column of campaign.items.required is empty",
    "too_long": "its id, url or image_url is longer than a profile of campaign.files allows",
    "denied": "it is in campaign.items.deny",
    "price": "it costs less than campaign.items.min_price, more than max_price, or has no price",
    "where": "campaign.items.where does not hold",
    "no_events": "it has no event tonight, and campaign.lists.pin does not hold",
}

# Of a recipient and an item.
PAIRS = {
    "bought": "the user bought it",
    "wanted": "the user had it in a cart or on a wish list",
    "known": "the user has an event of it",
    "sent": "it was sent to the user within campaign.pairs.sent_days",
    "country": "catalogue.columns.countries does not have the recipient's country",
    "min_score": "the model's score is below campaign.lists.min_score",
    "category": "the list has campaign.lists.max_per_category items of its category",
    "brand": "the list has campaign.lists.max_per_brand items of its brand",
    "min_categories": "the slots that are left are kept for other categories",
    "max_exposures": "campaign.pairs.max_exposures other recipients get it",
}
