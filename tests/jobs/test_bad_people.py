"""The first step refuses wrong tables of people; everyone who said no is recognised."""

from __future__ import annotations

from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import recipients
from ncf_spark.campaign.lists import build_users
from ncf_spark.errors import DataError, SchemaError
from ncf_spark.inputs.audience import Audience, read_audience
from ncf_spark.inputs.audience_checks import check_audience, checked_before
from ncf_spark.inputs.id_checks import check_ids
from ncf_spark.inputs.suppression_checks import log_suppressions
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.preparation.step import write_interactions
from tests.conftest import rows
from tests.jobs.in_process import run_as
from tests.jobs.test_bad_input import EVENTS, job_of, prepare

PEOPLE = "columns: {user: user, consent: consent, email: mail, country: null}"
CSV = "format: csv, options: {header: true}"
UTC_NIGHT = datetime(2026, 11, 1, tzinfo=timezone.utc)


def people(folder: Path, lines: str, more: str = "") -> str:
    """The setting of recipients in a file of these lines."""
    (folder / "people.csv").write_text("user,consent,mail\n" + lines, encoding="utf-8")
    return f"recipients={{path: {folder / 'people.csv'}, {CSV}, {PEOPLE}{more}}}"


def listed(folder: Path, text: str | bytes, column: str = "email", more: str = "") -> str:
    """The setting of a suppression list `gone`, of one column `who`."""
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "gone.csv").write_bytes(b"who\n" + content)
    return f"suppressions.gone={{path: {folder / 'gone.csv'}, columns: {{{column}: who}}{more}}}"


def read_people(
    spark: SparkSession, folder: Path, lines: str, *settings: str
) -> tuple[Job, Audience]:
    """A job that has read and checked recipients of these lines, and what it read."""
    job = job_of(spark, folder, people(folder, lines), *settings)
    audience = read_audience(job)
    check_audience(job, audience)
    return job, audience


def users_of(audience: Audience, spark: SparkSession) -> DataFrame:
    """One row for each recipient."""
    return build_users(audience, spark.createDataFrame([], schemas.USER_INDEX))


def became(
    spark: SparkSession, folder: Path, lines: str, *settings: str
) -> dict[str, tuple[str | None, str | None]]:
    """Each user's reason to get no mail, and the address that is sent to."""
    _, audience = read_people(spark, folder, lines, *settings)
    found = recipients.with_reason(
        users_of(audience, spark).withColumn("num_events", F.lit(0)),
        suppressed=recipients.build_suppressed(audience.suppressions),
        **dict.fromkeys(("num_sends", "audience", "frequency")),
        ends_at=UTC_NIGHT,
    )
    return {row.user_id: (row.reason, row.email) for row in found.collect()}


def test_who_is_on_a_list_is_known_by_an_address_that_is_written_otherwise(
    spark: SparkSession, tmp_path: Path
):
    mails = {
        "u1": "u1@x.example\u00a0",
        "u2": "U2@X.example",
        "u3": "\u200bu3@x.example",
        "u4": '"""Müller, Ana"" <u4@x.example>"',
        "u5": "u5@büro.example",
        "u6": "u6@x.example",
        "u7": "u7@x.example;",
        "u8": '"u8@x.example, other@x.example"',
        "u9": "u\u00ad9@x.example",
    }
    lines = "".join(f"{user},yes,{mail}\n" for user, mail in mails.items())
    text = (
        "U1@x.example\nu2@x.example\t\n\ufeffu3@x.example\nmailto:u4@x.example\n"
        "U5@xn--bro-hoa.example\n'u6@x.example\nCee <u7@x.example>\nu8@x.example\n"
    )
    found = became(spark, tmp_path, lines, listed(tmp_path, text))
    assert found.pop("u9") == (None, "u9@x.example")
    assert {reason for reason, _ in found.values()} == {"suppressed"}
    assert len(found) == 8


def test_a_hash_on_a_list_may_be_of_any_spelling_of_the_address(
    spark: SparkSession, tmp_path: Path
):
    lines = "u1,yes,u1@Büro.example\nu2,yes,u2@büro.example\nu3,yes, U3@x.eu \nu4,yes,u4@x.eu\n"
    hashed = ("u1@büro.example", "u2@xn--bro-hoa.example", "u3@x.eu")
    text = "".join(f"{sha256(one.encode()).hexdigest().upper()}\u00a0\n" for one in hashed)
    found = became(spark, tmp_path, lines, listed(tmp_path, text, "email_sha256"))
    assert {user: reason for user, (reason, _) in found.items()} == {
        **dict.fromkeys(("u1", "u2", "u3"), "suppressed"),
        "u4": None,
    }


def test_ids_on_a_list_are_compared_without_what_cannot_be_seen(
    spark: SparkSession, tmp_path: Path
):
    lines = "C-27,yes,\nC-28\u00a0,yes,\nC-29,yes,\n"
    found = became(spark, tmp_path, lines, listed(tmp_path, "c-27\u200b\nC-28\n", "user"))
    assert {user: reason for user, (reason, _) in found.items()} == {
        **{"C-27": "suppressed", "C-28": "suppressed", "C-29": None}
    }


def test_an_address_that_cannot_be_one_is_left_out_and_counted(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lines = "u1,yes,u1@x.example\nu2,yes,u2@\nu3,yes,u3@x.example u4@x.example\nu4,yes,\n"
    job, audience = read_people(spark, tmp_path, lines)
    assert rows(users_of(audience, spark).select("user_id", "email")) == [
        *[("u1", "u1@x.example"), ("u2", None), ("u3", None), ("u4", None)]
    ]
    assert job.notes["rows of recipients whose address cannot be one, left out"] == 2
    assert "mail holds no address, or more than one, in 2 of 4 rows, e.g. 'u…@" in caplog.text
    assert "u3@x.example" not in caplog.text


def test_consents_are_counted_and_unreadable_ones_are_said(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    answers = ["SUBSCRIBED", "no", "1", "ja", "", "TRUE", "ja", "oui"]
    job, audience = read_people(
        spark, tmp_path, "".join(f"u{n},{answer},\n" for n, answer in enumerate(answers))
    )
    assert rows(users_of(audience, spark).where("consent").select("user_id", "email")) == [
        *[("u0", None), ("u2", None), ("u5", None)]
    ]
    assert job.notes["rows of recipients"] == {
        "consenting": 3,
        "refusing": 1,
        "with no or an unreadable consent": 4,
    }
    assert "consent is neither yes nor no in 3 rows, which get nothing: {'ja': 2, 'oui': 1}" in (
        caplog.text
    )


def test_consents_are_read_by_the_words_that_are_named(spark: SparkSession, tmp_path: Path):
    words = ", consent_values: {yes: [ja], no: [nein]}"
    lines = "u1,Ja,\nu2,nein,\nu3,yes,\nu4,oui,\n"
    job = job_of(spark, tmp_path, people(tmp_path, lines, words))
    check_audience(job, read_audience(job))
    assert job.notes["rows of recipients"] == {
        **{"consenting": 2, "refusing": 1, "with no or an unreadable consent": 1}
    }


def test_recipients_of_whom_nobody_says_yes_are_refused(spark: SparkSession, tmp_path: Path):
    lines = "".join(f"u{n},{'ja' if n % 2 else 'nein'},\n" for n in range(5)) + "u9,no,\n"
    with pytest.raises(DataError, match=r"nobody says yes to mail \(column consent\)") as caught:
        read_people(spark, tmp_path, lines)
    told = str(caught.value)
    assert "refusing 1; with no or an unreadable consent 5" in told
    assert "Not understood: {'nein': 3, 'ja': 2}" in told
    assert "recipients.consent_values: {yes: [...], no: [...]}" in told


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["u@x.example"], "'u…@x.example' (1) (is consent the column of consents?)"),
        (
            ["Anna", "Ben", "Carla", "Anna", "Dora", "Emil", "Finn", "Gerd", "Hugo"],
            "'An…' (2), 'Be…' (1), 'Ca…' (1), 'Do…' (1), 'Em…' (1) … (is consent the column of c",
        ),
    ],
)
def test_of_what_is_no_column_of_consents_the_beginnings_are_shown(
    spark: SparkSession, tmp_path: Path, texts: list[str], shown: str
):
    with pytest.raises(DataError, match="nobody says yes to mail") as caught:
        read_people(spark, tmp_path, "".join(f"u{n},{text},\n" for n, text in enumerate(texts)))
    assert f"Not understood: {shown}" in str(caught.value)
    assert not any(text in str(caught.value) for text in texts)


def test_a_suppression_list_that_would_bar_nobody_is_refused(spark: SparkSession, tmp_path: Path):
    wrong = {
        "email": ["0" * 64, '"u1@x.example, u2@x.example"', "u1@", "u1@shop"],
        "email_sha256": ["u1@x.example"],
    }
    told = []
    for column, held in wrong.items():
        gone = listed(tmp_path, "".join(f"{one}\n\n" for one in held), column)
        with pytest.raises(DataError, match=rf"^suppressions\.gone\.columns\.{column}: ") as caught:
            read_people(spark, tmp_path, "u1,yes,u1@x.example\n", gone)
        told.append(str(caught.value))
        assert not any(one.strip('"') in told[-1] for one in held)
    assert "4 of 4 rows hold something else than an address there" in told[0]
    assert "Correct them, with one address a row, or" in told[0]
    assert "1 of 1 rows hold something else than a SHA-256 of 64 hexadecimal digits" in told[1]
    assert "Correct them, with one SHA-256 of an address a row, or" in told[1]


def test_the_rows_of_a_list_that_would_bar_nobody_are_named(spark: SparkSession, tmp_path: Path):
    text = "a@x.example\nb@\nc@x.example\nd@x.example; e@x.example\n"
    gone = listed(tmp_path, text, more=", where: who <> 'a@x.example'")
    with pytest.raises(DataError, match=r"2 of 3 rows .*: row 2 \(b…@\), row 4 \(d…@x"):
        read_people(spark, tmp_path, "u1,yes,u1@x.example\n", gone)


def test_a_list_in_another_encoding_is_refused_with_the_remedy(spark: SparkSession, tmp_path: Path):
    lines = "u1,yes,änna@büro.example\nu2,yes,\n"
    content = "änna@büro.example\n".encode("windows-1252")
    with pytest.raises(DataError, match=r"^suppressions\.gone: 1 of 1 rows were read in ano"):
        read_people(spark, tmp_path, lines, listed(tmp_path, content))
    said = ", options: {encoding: windows-1252}"
    found = became(spark, tmp_path, lines, listed(tmp_path, content, more=said))
    assert found["u1"] == ("suppressed", "änna@büro.example")
    wrong = listed(tmp_path, "änna@büro.example\n", more=said)
    with pytest.raises(DataError, match=r"would bar nobody: row 1 .*encoding: UTF-8\}"):
        read_people(spark, tmp_path, lines, wrong)


def test_rows_that_an_open_quote_swallows_are_found(spark: SparkSession, tmp_path: Path):
    text = 'why;who\n"no\nmore";a@x.example\n"no more\nn;b@x.example\nn";c@x.example\n'
    path = tmp_path / "gone.csv"
    path.write_text(text)
    options = '{sep: ";", multiLine: true}'
    gone = f"suppressions.gone={{path: {path}, options: {options}, columns: {{email: who}}}}"
    with pytest.raises(DataError, match=r"gone: 1 of 2 rows hold a cell of several .*row 2 \(c…@"):
        read_people(spark, tmp_path, "u1,yes,b@x.example\n", gone)
    path.write_text(text.replace("n;b@x.example", "n b@x.example"))
    read_people(spark, tmp_path, "u1,yes,b@x.example\n", gone)


@pytest.mark.parametrize("name", ["unsubscribed", "Opt-Out", "do_not_contact", "Abmeldung"])
def test_a_yes_to_the_opposite_of_consent_is_refused(
    spark: SparkSession, tmp_path: Path, name: str
):
    setting = people(tmp_path, "u1,no,\nu2,yes,\n").replace("consent: consent", f"consent: {name}")
    path = tmp_path / "people.csv"
    path.write_text(path.read_text().replace("consent", name))
    job = job_of(spark, tmp_path, setting)
    with pytest.raises(DataError, match=rf"column {name} .* called like the opposite of consent"):
        check_audience(job, read_audience(job))
    said = "recipients.consent_values={yes: ['no'], no: ['yes']}"
    job = job_of(spark, tmp_path, setting, said)
    audience = read_audience(job)
    check_audience(job, audience)
    assert rows(users_of(audience, spark).where("consent").select("user_id")) == [("u1",)]


def test_a_list_that_bars_nobody_is_said(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    read_people(spark, tmp_path, "u1,yes,\n", listed(tmp_path, ""))
    check(spark, tmp_path, "u1,yes,\n", listed(tmp_path, "x1\nx2\n", "user"))
    assert [message for message in caplog.messages if "suppressions" in message] == [
        "suppressions.gone: holds no row, and bars nobody",
        "suppressions.gone: none of its 2 ids is that of a recipient, so they bar nobody, e.g. "
        "'x1', 'x2'. Recipients are e.g. 'u1'.",
    ]


def test_all_that_is_wrong_is_told_at_once(spark: SparkSession, tmp_path: Path):
    (tmp_path / "log.csv").write_text("user_id,sent_at\nu0,yesterday\n")
    log = f"send_log={{path: {tmp_path / 'log.csv'}, {CSV}}}"
    with pytest.raises(DataError) as caught:
        read_people(spark, tmp_path, "u1,no,\n", listed(tmp_path, "u1@\n"), log)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        *["recipients", "suppressions.gone.columns.email", "send_log"]
    ]


def test_lists_are_counted_and_how_many_recipients_they_bar_is_said(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    job, _ = read_people(
        spark, tmp_path, "u1,yes,u1@x.example\n", listed(tmp_path, " A@X.example\n\nb@x.example\n")
    )
    found = check_audience(job, read_audience(job))
    assert found.suppression_rows == {"gone": {"user ids": 0, "addresses": 2, "hashes": 0}}
    log_suppressions(found.suppression_rows, {"gone": 1})
    assert "suppressions: gone: 2 addresses, 1 match recipients" in caplog.text


def test_files_are_looked_at_again_when_they_or_their_settings_changed(
    spark: SparkSession, tmp_path: Path
):
    setting = people(tmp_path, "u1,yes,\nu2,yes,\n")
    first = job_of(spark, tmp_path, setting)
    run_step(first)
    assert checked_before(job_of(spark, tmp_path, setting, name="export_campaign"))
    other = setting[:-1] + ", max_unknown_share: 0.1}"
    assert not checked_before(job_of(spark, tmp_path, other, name="export_campaign"))
    people(tmp_path, "u1,yes,\n")
    assert not checked_before(job_of(spark, tmp_path, setting, name="export_campaign"))


# --- ids that match those of the events, or do not -----------------------------------------------


@pytest.fixture(scope="module")
def taken_in(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a night that has taken in its events, of the users u0 to u19."""
    folder = tmp_path_factory.mktemp("taken in")
    run_as(job_of(spark, folder), write_interactions)
    return folder


def check(spark: SparkSession, folder: Path, lines: str, *settings: str) -> Job:
    """A job that has held the ids of recipients against the users u0 to u19."""
    job = job_of(spark, folder, people(folder, lines), *settings)
    index = [(f"u{n}", n, True) for n in range(20)]
    check_ids(job, read_audience(job), spark.createDataFrame(index, schemas.USER_INDEX))
    return job


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "'u{}",
            "'u1\", \"'u10\", \"'u11\". Users of the events are e.g. 'u1', 'u10', 'u11'. They "
            "would match without a leading apostrophe.",
        ),
        ("U{}", "would match without upper and lower case."),
        ("K{}", "'K1', 'K10', 'K11'. Users of the events are e.g. 'u0', 'u1', 'u10'. They would"),
    ],
)
def test_recipients_whose_ids_are_of_no_user_are_refused(
    spark: SparkSession, taken_in: Path, written: str, said: str
):
    lines = "".join(f"{written.format(n)},yes,\n" for n in range(1, 13)) + "u0,yes,\n"
    with pytest.raises(DataError, match=r"column user holds ids in 12 of 13 rows") as got:
        check(spark, taken_in, lines)
    assert said in str(got.value)
    assert "recipients.max_unknown_share (0.5)" in str(got.value)


def test_a_newsletter_of_mostly_new_readers_is_sent_on_request(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lines = "u0,yes,\n'u2,yes,\n" + "".join(f"n{n},yes,\n" for n in range(10))
    job = check(spark, tmp_path, lines, "recipients.max_unknown_share=1.0")
    assert job.notes["rows of recipients whose user has no events"] == 11
    # Near matches are reported; there are fewer of them than matches.
    assert 'in 11 of 12 rows that no user of the events has, e.g. "\'u2"' in caplog.messages[-1]


def test_ids_that_all_match_but_for_an_apostrophe_cannot_be_sent_on_request(
    spark: SparkSession, taken_in: Path
):
    lines = "".join(f"'u{n},yes,\n" for n in range(10))
    with pytest.raises(DataError, match="would match without a leading apostrophe"):
        check(spark, taken_in, lines, "recipients.max_unknown_share=1.0")


def test_users_with_too_few_events_to_train_with_are_known(spark: SparkSession, tmp_path: Path):
    single = "".join(f"s{n},i1,2026-10-01 10:00:00,view\n" for n in range(30))
    lines = "".join(f"s{n},yes,\n" for n in range(30))
    few = job_of(spark, tmp_path, "input.min_user_items=2", text=EVENTS + single)
    run_as(few, write_interactions)
    job = check(spark, tmp_path, lines)
    assert job.notes["rows of recipients whose user has no events"] == 0


def test_a_list_of_ids_that_are_written_otherwise_is_refused(spark: SparkSession, tmp_path: Path):
    gone = listed(tmp_path, "'u1\nu2\nold\n", "user")
    with pytest.raises(DataError, match=r"suppressions\.gone: 1 of 3 ids .* bar nobody") as caught:
        check(spark, tmp_path, "u1,yes,\nu2,yes,\n", gone)
    assert "without a leading apostrophe. Write them alike (suppressions.gone" in str(caught.value)
    check(spark, tmp_path, "u1,yes,\nu2,yes,\n", listed(tmp_path, "old\nU2\n", "user"))


@pytest.mark.parametrize(
    ("ids", "said"),
    [(["'u1", "'u2"], "without a leading apostrophe"), (["k1"], "1 of 1 rows have an id")],
)
def test_a_log_of_mails_to_nobody_is_refused(
    spark: SparkSession, tmp_path: Path, ids: list[str], said: str
):
    lines = "".join(f"{one},2026-10-30\n" for one in ids)
    (tmp_path / "log.csv").write_text("user_id,sent_at\n" + lines)
    log = f"send_log={{path: {tmp_path / 'log.csv'}, {CSV}}}"
    with pytest.raises(DataError, match=r"send_log: .*mails would count for nobody") as caught:
        check(spark, tmp_path, "u1,yes,\nu2,yes,\n", log)
    assert said in str(caught.value)


# --- places, columns and times -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["suppressions={out: {path: NOWHERE, columns: {email: e}}}"],
            r"suppressions\.out\.path: NOWHERE does not exist",
        ),
        (
            ["suppressions={out: {path: PEOPLE, columns: {email: e}}}"],
            r"suppressions\.out: column e is missing. Columns present: \['user', 'consent'\]",
        ),
        (["campaign.audience=county = 'DE'"], r"campaign\.audience: .*county"),
        (
            ["send_log={path: PEOPLE, format: csv, options: {header: true}}"],
            r"send_log: column user_id is missing",
        ),
    ],
)
def test_who_is_not_written_to_is_known_before_the_night_begins(
    spark: SparkSession, tmp_path: Path, settings, message
):
    people = tmp_path / "people.csv"
    people.write_text("user,consent\nu0,yes\n")
    columns = "columns: {user: user, consent: consent, email: null, country: null}"
    options = "format: csv, options: {header: true}"
    given = [
        f"recipients={{path: {people}, {options}, {columns}}}",
        *[setting.replace("PEOPLE", str(people)) for setting in settings],
    ]
    with pytest.raises((DataError, SchemaError), match=message):
        prepare(spark, tmp_path, *given)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "u0,yesterday\nu1,2026-11-01\n",
            r"column sent_at .* does not parse as a time in 1 of 2 rows",
        ),
        (
            ",2026-11-01\nu1,\n",
            r"none of its 2 rows has a user and a time \(columns user_id, sent_at",
        ),
    ],
)
def test_a_send_log_that_would_count_for_nobody_is_refused_at_once(
    spark: SparkSession, tmp_path: Path, lines: str, message: str
):
    (tmp_path / "log.csv").write_text("user_id,sent_at\n" + lines)
    given = f"send_log={{path: {tmp_path / 'log.csv'}, format: csv, options: {{header: true}}}}"
    job = job_of(spark, tmp_path, given)
    with pytest.raises(DataError, match=message):
        check_audience(job, read_audience(job))


def test_rows_of_a_send_log_without_a_user_or_a_time_are_counted(
    spark: SparkSession, tmp_path: Path
):
    (tmp_path / "log.csv").write_text("user_id,sent_at\nu0,2026-11-01 08:00\n,2026-11-01\nu1,\n")
    given = f"send_log={{path: {tmp_path / 'log.csv'}, format: csv, options: {{header: true}}}}"
    job = job_of(spark, tmp_path, given)
    check_audience(job, read_audience(job))
    assert job.notes["rows of send_log without a user or a time, left out"] == 2


def test_last_mails_that_are_no_times_are_refused_where_the_frequency_counts(
    spark: SparkSession, tmp_path: Path
):
    (tmp_path / "people.csv").write_text("user,consent,last\nu1,yes,31.10.2026\nu2,yes,\n")
    columns = "{user: user, consent: consent, last_sent_at: last, email: null, country: null}"
    options = "format: csv, options: {header: true}"
    given = f"recipients={{path: {tmp_path / 'people.csv'}, {options}, columns: {columns}}}"
    job = job_of(spark, tmp_path, given)
    check_audience(job, read_audience(job))
    job = job_of(spark, tmp_path, given, "campaign.frequency={sends: 1, days: 7}")
    told = r"column last .*set recipients\.time_format: dd\.MM\.yyyy\. Or"
    with pytest.raises(DataError, match=told):
        check_audience(job, read_audience(job))
