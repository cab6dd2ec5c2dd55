"""What is written into the configuration for an export."""

import pytest
import yaml
from pyspark.sql import functions as F

from ncf_spark.inputs.columns import fitting_time_formats
from ncf_spark.inputs.consent import consent
from ncf_spark.inputs.sniffing import Sniffed, sniff, sniff_records
from ncf_spark.inputs.suggest import EXPORTS, suggest
from ncf_spark.inputs.suggestion import Suggestion, write_config


def suggestion(name: str, content: str | bytes) -> Suggestion | str:
    sniffed = sniff(name, content if isinstance(content, bytes) else content.encode())
    assert isinstance(sniffed, Sniffed), sniffed
    return suggest(f"/in/{name}", name, sniffed, fitting_time_formats)


def text(name: str, content: str | bytes) -> str:
    found = suggestion(name, content)
    assert isinstance(found, Suggestion), found
    return write_config("my_shop", [found])


def section(name: str, content: str | bytes) -> tuple[str, dict]:
    config = yaml.safe_load(text(name, content))
    assert config.pop("storage") == {"warehouse": "./warehouse/my_shop"}
    [(section, settings)] = config.items()
    return section, settings


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_an_export_is_known_by_its_columns(export):
    found, settings = section("export.csv", ",".join(["Id", *export.known_by]) + "\nx\n")
    assert found == export.section
    settings = settings.get("export", settings)
    assert settings["path"] == "/in/export.csv"
    assert settings["options"] == {"header": True}
    assert settings | export.settings == settings


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("utf-8-sig", {"sep": ";", "header": True, "multiLine": True}),
        ("latin-1", {"encoding": "windows-1252", "sep": ";", "header": True, "multiLine": True}),
        ("utf-16", {"encoding": "UTF-16", "multiLine": True, "sep": ";", "header": True}),
        ("utf-16-be", {"encoding": "UTF-16BE", "multiLine": True, "sep": ";", "header": True}),
        ("utf-16-le", {"encoding": "UTF-16LE", "multiLine": True, "sep": ";", "header": True}),
    ],
)
def test_how_a_text_is_written_is_recognised(encoding, options):
    content = 'customer;sku;ordered_at\nMüller;"Tea\ntin";2026-10-01\n'
    assert section("a [1].csv", content.encode(encoding)) == (
        "input",
        {
            "path": "/in/a [1].csv",
            "format": "csv",
            "options": options,
            "columns": {"user": "customer", "item": "sku", "time": "ordered_at"},
        },
    )


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ('{"user_id": 1, "item_id": 2, "at": "2026-10-01"}\n', None),
        ('[\n{"user_id": 1,\n"item_id": 2, "at": "2026-10-01"},\n{"user_', {"multiLine": True}),
    ],
)
def test_json_is_known_by_its_first_records(content, options):
    found, settings = section("a.json", content)
    assert (found, settings.get("options")) == ("input", options)
    assert settings["columns"] == {"user": "user_id", "item": "item_id", "time": "at"}


def test_what_is_no_table_is_said():
    assert sniff("a.zip", b"PK\x03\x04").startswith("is a zip archive")
    assert sniff("a.csv", b" \n") == "is empty."
    said = suggestion("a.csv", "Phone,Reason\n0170,STOP\n")
    assert said.startswith("is no table that is known by its columns Phone, Reason. Events have a")
    # A user alone is a list only by its name.
    assert "customer_id" in suggestion("a.csv", "customer_id\nC-1\n")
    found, settings = section("bounces.csv", "customer_id\nC-1\n")
    assert (found, settings["bounces"]["columns"]) == ("suppressions", {"user": "customer_id"})


@pytest.mark.parametrize(
    ("header", "name", "columns"),
    [
        ("customer;sku;ordered_at", "input", {"user": "customer", "item": "sku"}),
        ("Kunde Nr.;Artikel-Größe;Bestellt am", "input", {"item": "Artikel-Größe"}),
        ("client;produit;date", "input", {"user": "client", "item": "produit", "time": "date"}),
        ("cliente;producto;fecha", "input", {"user": "cliente", "item": "producto"}),
        ("customer;ordered_at", "input", {"user": "customer", "item": "?", "time": "ordered_at"}),
        ("user;item;note", "input", {"user": "user", "item": "item", "time": None}),
        ("customer;sku;sent_at", "send_log", {"user": "customer", "sent_at": "sent_at"}),
        ("customer;event_type;event_at", "outcomes", {"type": "event_type"}),
        ("customer;mail;opt_in", "recipients", {"email": "mail", "consent": "opt_in"}),
        ("Customer;E-Mail;Zustimmung;Land.Code", "recipients", {"consent": "Zustimmung"}),
        ("email;accepts_marketing", "recipients", {"user": "email", "email": "email"}),
        ("customer;mail", "recipients", {"user": "customer", "email": "mail", "consent": "?"}),
        ("email;SMS Consent", "recipients", {"consent": "?"}),
        (
            "sku;name;price;stock;changed;link;image;brand",
            "catalogue",
            {
                **{"item": "sku", "title": "name", "price": "price", "url": "link"},
                **{"image_url": "image", "brand": "brand", "in_stock": "stock"},
                "updated_at": "changed",
            },
        ),
    ],
)
def test_columns_that_no_export_has_are_guessed_by_their_names(header, name, columns):
    found, settings = section("a.csv", f"{header}\n")
    assert found == name
    assert settings["columns"] | columns == settings["columns"]


@pytest.mark.parametrize(
    ("file", "content", "columns"),
    [
        ("Abmeldungen.csv", "E-Mail;Grund\nx@shop.example;x\n", {"email": "E-Mail"}),
        ("do-not-mail.csv", "a@shop.example\n", {"email": "_c0"}),
        ("Klaviyo suppressed.csv", "Email;Email Marketing Consent\n", {"email": "Email"}),
        ("a.csv", "email_hash\n", {"email_sha256": "email_hash"}),
        ("a.csv", "key\n" + 64 * "A" + "\n", {"email_sha256": "key"}),
    ],
)
def test_lists_of_those_who_get_no_mail(file, content, columns):
    found, lists = section(file, content)
    assert (found, [one["columns"] for one in lists.values()]) == ("suppressions", [columns])


@pytest.mark.parametrize(
    ("content", "columns", "more"),
    [
        (
            "C-01;A-011;2026-10-01 09:34:00\n",
            {"user": "_c0", "item": "_c1", "time": "_c2"},
            {"options": {"sep": ";", "header": False}},
        ),
        (
            "1::1193::5::978300760\n",
            {"user": "_c0", "item": "_c1", "value": "_c2", "time": "_c3"},
            {"options": {"sep": "::", "header": False}, "time_format": "epoch_seconds"},
        ),
        (
            "1::Toy Story (1995)::Comedy|Children's\n",
            {"item": "_c0", "title": "_c1", "category": "_c2"},
            {},
        ),
        # A number of 13 digits may be an EAN as well as milliseconds.
        (
            "C-01,1790843100000,2026-10-01\n",
            {"user": "_c0", "item": "_c1", "time": "_c2"},
            {},
        ),
        ("C-01,a@shop.example\n", {"user": "_c0", "consent": "?", "email": "_c1"}, {}),
    ],
)
def test_a_first_row_of_values_is_no_header(content, columns, more):
    _, settings = section("a.csv", content)
    assert settings["columns"] == columns
    assert settings | more == settings


def test_no_address_of_a_first_row_is_printed():
    for content in ("ann@shop.example;x\n", "ann@local;C-1;1 2\nann2@local;C-1;1 2\n"):
        found = suggestion("a.csv", content)
        assert "ann" not in (found if isinstance(found, str) else "\n".join(found.lines()))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2026-10-01 10:00:00"], None),
        (["20261001", "20261002"], "yyyyMMdd"),
        (["1790843100"], "epoch_seconds"),
        (["01/10/2026", "13/10/2026"], "dd/MM/yyyy"),
        (["10/13/26 9:34 AM"], "M/d/yy h:mm a"),
        (["46298.39861"], "?"),
        ([], None),
    ],
)
def test_the_format_of_times_follows_from_the_values(values, expected):
    lines = [f"C-1,A-1,{value}" for value in values]
    _, settings = section("a.csv", "\n".join(["customer,sku,dt", *lines]) + "\n")
    assert settings.get("time_format") == expected
    assert settings["columns"]["time"] == "dt"
    # Of a column with another name too, where it holds dates.
    _, settings = section("a.csv", "customer,sku,Kauf\nC-1,20261001,01.10.2026 10:00\n")
    assert settings["columns"]["time"] == "Kauf"
    assert settings["time_format"] == "dd.MM.yyyy HH:mm"


def test_ids_that_are_addresses_are_of_one_case():
    _, settings = section(
        "a.csv",
        "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem sku\n"
        "#1,ANN@shop.example,paid,2026-10-01 08:25:00 +0200,1,A-1\n"
        "#1,ann@shop.example,,2026-10-01 08:25:00 +0200,1,A-2\n",
    )
    assert settings["derived"] == {"customer": "lower(trim(Email))"}
    assert settings["columns"]["user"] == "customer"
    assert "where" not in settings


@pytest.mark.parametrize(
    ("quantities", "where"),
    [
        (["1", "-1"], "Quantity > 0"),
        (["1", "2,0"], "try_cast(replace(Quantity, ',', '.') as double) > 0"),
    ],
)
def test_returns_are_no_purchases(quantities, where):
    lines = [f"C-1;A-1;2026-10-01;Purchase;{quantity}" for quantity in quantities]
    content = "\n".join(["customer;sku;ordered_at;kind;Quantity", *lines]) + "\n"
    _, settings = section("a.csv", content)
    assert settings["where"] == where
    assert settings["columns"]["type"] == "kind"
    assert "# event_weights: {Purchase: 1.0} names the types that count" in text("a.csv", content)


def test_nested_values_are_derived():
    line = '{"user": {"id": "C-1"}, "items": %s, "ts": "2026-10-01T09:34:00Z"}\n'
    _, settings = section("a.jsonl", line % "[]" + line % '[{"item_id": "A-1", "price": 2}]')
    assert settings["derived"] == {"user": "user.id", "item": "explode(items.item_id)"}
    assert settings["columns"] == {"user": "user", "item": "item", "time": "ts"}
    _, settings = section("a.jsonl", '{"user": "a", "meta": {"sku": 1, "ts": 20261001}}\n')
    assert settings["columns"] == {"user": "user", "item": "item", "time": "time"}
    assert settings["time_format"] == "yyyyMMdd"
    rows = [{"user_id": 1, "sku": {"id": None}, "x": None}, {"user_id": 1, "sku": None, "x": 2}]
    assert sniff_records("parquet", {}, rows) == Sniffed(
        "parquet", {}, {"user_id": ["1", "1"], "sku.id": [], "x": ["2"]}, {"sku.id": "sku.id"}
    )


@pytest.mark.parametrize(
    ("table", "answers"),
    [
        (
            "Email,Email Marketing Consent,Suppressions\n"
            "a@x.example,SUBSCRIBED,HARD_BOUNCE\n"
            "b@x.example,SUBSCRIBED,[]\n"
            "c@x.example,SUBSCRIBED,\n"
            "d@x.example,NEVER_SUBSCRIBED, \n",
            [False, True, True, False],
        ),
        (
            "external_id,email,email_subscribe,email_unsubscribed_at\n"
            "C-1,a@x.example,opted_in,\n"
            "C-2,b@x.example,subscribed,2026-10-01\n",
            [True, False],
        ),
        (
            "customer,mail,accepts_marketing,do not contact,Newsletter Abmeldung,sms_opt_out\n"
            "C-1,a@x.example,yes,false,No,1\n"
            "C-2,b@x.example,yes,TRUE,no,0\n"
            "C-3,c@x.example,yes,0,2026-10-01,0\n",
            [True, False, False],
        ),
        # Nobody said yes.
        ("customer,mail,opt_out\nC-1,a@x.example,1\nC-2,b@x.example,0\n", [False, None]),
    ],
)
def test_who_opted_out_has_no_consent(spark, table, answers):
    found, settings = section("people.csv", table)
    assert (found, settings["columns"]["consent"]) == ("recipients", "consent")
    header, *rows = [line.split(",") for line in table.splitlines()]
    schema = ", ".join(f"`{name}` string" for name in header)
    people = spark.createDataFrame([[cell or None for cell in row] for row in rows], schema)
    derived = people.select(consent(F.expr(settings["derived"]["consent"])))
    assert [row[0] for row in derived.collect()] == answers


def test_what_a_person_should_check_is_said():
    address = "# user: Email is right only where the ids of the events are addresses"
    assert address in text("people.csv", "Email,consent\n")
    assert address not in text("people.csv", "customer,Email,consent\n")
    unused = "\n  # not used: Store, Tags"
    assert unused in text("a.csv", "customer,sku,ordered_at,Store,Tags\n")
    assert "not used" not in text("a.csv", "customer,sku,ordered_at\n")


def test_several_files_make_one_configuration():
    files = {
        "orders.csv": "customer,sku,ordered_at\n",
        "unsubscribed.csv": "email\n",
        "orders-2.csv": "customer,sku,ordered_at\n",
        "2026 bounces.csv": "mail\n",
        "bounces 2026.csv": "email\n",
        "Bounces-2026.txt": "email\n",
    }
    found = write_config(
        "tea_shop", [suggestion(*file) for file in files.items()], ["/in/a.zip: is a\nzip archive."]
    )
    assert found.startswith("# A first configuration: write it into conf/tea_shop.yaml,")
    config = yaml.safe_load(found)
    assert list(config) == ["storage", "input", "suppressions"]
    assert config["storage"] == {"warehouse": "./warehouse/tea_shop"}
    assert config["input"]["path"] == "/in/orders.csv"
    assert "\n# also looks like input: orders-2.csv (" in found
    names = ["unsubscribed", "list_2026_bounces", "bounces_2026", "bounces_2026_2"]
    assert list(config["suppressions"]) == names
    assert found.endswith("\n# /in/a.zip: is a zip archive.")


@pytest.mark.parametrize(
    "name", ["No", "12", "a: b", "#x", "'x", '"x"', "ä b", "- x", "[x", "x, y"]
)
def test_any_name_of_a_column_is_written_as_yaml_reads_it(name):
    rows = [{"customer": "C-1", "sku": "A-1", name: "2026-10-01"}]
    found = suggest("/in/a", "a", sniff_records("parquet", {}, rows), fitting_time_formats)
    assert isinstance(found, Suggestion)
    config = yaml.safe_load(write_config("x", [found]))
    assert config["input"]["columns"]["time"] == name
