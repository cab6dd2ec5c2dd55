"""Why a recipient gets no mail, an item is not shown, and a pair is passed over: the codes.

Each is looked at in the order in which it stands here; the first that holds is the reason.
"""

from __future__ import annotations

RECIPIENTS = {
    "no_consent": "a row of the user does not say yes to mail",
    "no_address": "there is none that looks like one, and every profile of campaign.files needs it",
    "suppressed": "the user or the address stands on a list of section suppressions",
    "shared_address": "another user of the address refused, or stands on such a list",
    "not_in_audience": "campaign.audience does not hold",
    "too_frequent": "the user had campaign.frequency.sends mails within its days",
    "same_address": "a more active user of the same address is written to",
    "too_few_items": "fewer than campaign.min_items items are left, or too few categories",
}

ITEMS = {
    "not_in_catalogue": "the catalogue does not have it",
    "out_of_stock": "catalogue.columns.in_stock says so, or nothing that can be read",
    "not_active": "the run date ends outside active_from and active_until, or these cannot be read",
    "incomplete": "a column of campaign.items.required is empty",
    "too_long": "its id, url or image_url is longer than a profile of campaign.files takes",
    "denied": "campaign.items.deny has it",
    "price": "it costs less than campaign.items.min_price, more than max_price, or has no price",
    "where": "campaign.items.where does not hold",
    "no_events": "nobody has an event of it tonight, and campaign.lists.pin does not hold",
}

PAIRS = {
    "bought": "the user bought it",
    "wanted": "the user had it in a cart or on a wish list",
    "known": "the user has an event of it",
    "sent": "it was sent to the user within campaign.pairs.sent_days",
    "country": "catalogue.columns.countries does not name the recipient's",
    "min_score": "the model's score is below campaign.lists.min_score",
    "category": "the list has campaign.lists.max_per_category items of its category",
    "brand": "the list has campaign.lists.max_per_brand items of its brand",
    "min_categories": "the slots that are left are for other categories",
    "max_exposures": "campaign.pairs.max_exposures other recipients have it",
}
