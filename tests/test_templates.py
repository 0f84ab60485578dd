"""Templates: what may be saved, and that what goes out has every value in place and evaluates none."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.nurture.rendering import ValueMissing, as_text, placeholders, render, sms_parts
from leadline.nurture.templates import MessageTooLong, Organization, Template, compose, values_of
from tests.calling import caller
from tests.leads import create
from tests.nurture import EMAIL, change_template, decide, make_template, preview

NOBODY = dict.fromkeys(
    ("first_name", "last_name", "email", "city", "state", "zip", "source", "sub_source", "custom_fields")
) | {"phone_number": "+14155550142", "country": "US", "status": "new"}
HARBOR = Organization("Harbor", "1 Main St\nSpringfield")
HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet="{}|%#_.\r\n\0<>&\"' " + string.ascii_lowercase),
    st.sampled_from(
        [
            "{{email}}",
            "{{{{first_name}}}}",
            "{% for x in y %}",
            "${7*7}",
            "a\r\nBcc: everybody@example.com",
            "<script>alert(1)</script>",
            "\u2028\u202e",
        ]
    ),
)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


def template(channel="email", **fields):
    given = {"subject": "Hi {{first_name|there}}", "body": "{{first_name|there}}", "html": None, **fields}
    described = dict.fromkeys(Template.__dataclass_fields__) | {"channel": channel} | given
    return Template(**described)


def values(**lead):
    return values_of(NOBODY | lead, HARBOR, "https://example.com/u/token")


# Rendering ------------------------------------------------------------------------------------------------------------


def test_a_value_stands_where_its_placeholder_stood_and_else_the_default():
    text = "Hi {{ first_name | there }} from {{organization.name}}, {{custom_fields.team|no team}}"
    assert render(text, values(first_name="Ada", custom_fields={"team": "blue"})) == "Hi Ada from Harbor, blue"
    assert render(text, values()) == "Hi there from Harbor, no team"


@pytest.mark.parametrize("blank", ["", "  ", "\n", "\0", None])
def test_a_blank_value_is_none(blank):
    assert render("Hi {{first_name|there}}", values(first_name=blank)) == "Hi there"


def test_a_value_that_is_missing_without_a_default_is_never_a_blank():
    with pytest.raises(ValueMissing):
        render("Hi {{first_name}}", values())


@pytest.mark.parametrize(("value", "text"), [(True, "yes"), (False, "no"), (3.0, "3"), (3.5, "3.5"), (12, "12")])
def test_a_custom_field_is_written_as_people_write_it(value, text):
    assert as_text(value) == text


def test_the_full_name_is_what_there_is_of_it():
    assert render("{{full_name|you}}", values(first_name="Ada", last_name="Lovelace")) == "Ada Lovelace"
    assert render("{{full_name|you}}", values(last_name="Lovelace")) == "Lovelace"
    assert render("{{full_name|you}}", values()) == "you"


def test_the_names_and_defaults_of_a_text_are_told_in_its_order():
    assert [(one.name, one.default) for one in placeholders("{{a|b|c}} {{ d }} {e}")] == [("a", "b|c"), ("d", None)]


@given(HOSTILE, HOSTILE)
def test_nothing_that_a_value_says_is_evaluated_or_looks_like_a_placeholder(first, last):
    rendered = render("{{{first_name|x}}} {{last_name|x}}{{email|x}}", values(first_name=first, last_name=last))
    assert "{{" not in rendered
    assert "}}" not in rendered
    assert "+1415" not in rendered


@given(HOSTILE)
def test_a_value_cannot_break_the_line_of_a_subject(first):
    message = compose(template(), values(first_name=first))
    assert len((message.subject or "").splitlines()) == 1
    assert not set(message.subject or "") & set("\r\n\0\x0b\x0c\x1c\u2028\u2029\x85")


@given(HOSTILE)
def test_a_value_stays_text_in_html(first):
    html = render("<p>{{first_name|x}}</p>", values(first_name=first), html=True)
    inner = html.removeprefix("<p>").removesuffix("</p>").replace("<br>\n", "")
    assert not set(inner) & set("<>\"'")


# Messages -------------------------------------------------------------------------------------------------------------


def test_an_email_gets_what_its_template_does_not_place_itself():
    message = compose(template(body="Hello", html="<html><body><p>Hello</p></body></html>"), values())
    assert message.body == "Hello\n\n--\n1 Main St\nSpringfield\nUnsubscribe: https://example.com/u/token"
    assert message.html == (
        "<html><body><p>Hello</p><p>1 Main St<br>\nSpringfield</p>"
        '<p><a href="https://example.com/u/token">Unsubscribe</a></p></body></html>'
    )


def test_an_email_that_places_both_itself_gets_no_footer():
    placed = "{{postal_address}} {{unsubscribe_url}}"
    message = compose(template(body=placed, html=f"<p>{placed}</p>"), values())
    assert message.body == "1 Main St\nSpringfield https://example.com/u/token"
    assert (message.html or "").count("https://example.com/u/token") == 1


def test_a_link_that_only_a_comment_has_is_not_placed():
    message = compose(template(html="<p>Hi</p><!-- {{unsubscribe_url}} -->"), values())
    assert '<a href="https://example.com/u/token">' in (message.html or "")


def test_a_text_is_too_long_only_with_its_values():
    text = template("sms", subject=None, body="x" * 1590 + "{{first_name|}}")
    assert len(compose(text, values(first_name="y" * 10)).body) == 1600
    with pytest.raises(MessageTooLong):
        compose(text, values(first_name="y" * 11))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("ж" * 135, 3),
    ],
)
def test_an_sms_is_counted_in_the_parts_it_is_billed_by(text, parts):
    assert sms_parts(text) == parts


# Saving ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"body": "Hi {{first_name}}"}, "/body", "default_required"),
        ({"body": "Hi {{first_name|}}"}, "/body", "default_required"),
        ({"body": "Hi {{shoe_size|9}}"}, "/body", "unknown_placeholder"),
        ({"body": "Hi {{custom_fields.team|x}}"}, "/body", "unknown_placeholder"),
        ({"body": "Hi {{unsubscribe_url}}"}, "/body", "unknown_placeholder"),
        ({"body": "Hi {{postal_address}}"}, "/body", "default_required"),
        ({"body": "Hi {{first_name.upper()|x}}"}, "/body", "bad_placeholder"),
        ({"body": "Hi {{first_name|x"}, "/body", "bad_placeholder"),
        ({"body": "Hi {{}}"}, "/body", "bad_placeholder"),
        ({"body": "{% if x %}Hi{% endif %}"}, "/body", "bad_placeholder"),
        ({"body": "x" * 1601}, "/body", "message_too_long"),
        ({"subject": "Hi"}, "/subject", "not_of_this_channel"),
        ({"html": "<p>Hi</p>"}, "/html", "not_of_this_channel"),
        ({"voice": "human"}, "/voice", "not_of_this_channel"),
        ({"script": {"id": "a"}}, "/script", "not_of_this_channel"),
        ({"channel": "call"}, "/voice", "voice_required"),
        ({"channel": "email"}, "/subject", "subject_required"),
        (EMAIL | {"subject": "Hi {{first_name}}"}, "/subject", "default_required"),
        (EMAIL | {"html": "<p title={{first_name|x}}>Hi</p>"}, "/html", "placeholder_in_a_tag"),
        ({"template_id": "Not a name"}, "/template_id", "string_pattern_mismatch"),
        ({"channel": "fax"}, "/channel", "literal_error"),
    ],
)
def test_what_could_not_go_out_to_every_lead_is_refused_with_its_place(manager, fields, pointer, code):
    reply = make_template(manager, **fields)
    assert (reply.status, reply.code) == (422, code), reply.body
    assert pointer in [error["pointer"] for error in reply.body["errors"]]


def test_the_refusal_names_the_placeholder(manager):
    (error,) = make_template(manager, body="Hi {{last_name}}").body["errors"]
    assert "last_name" in error["detail"]


def test_a_declared_custom_field_is_a_placeholder(organization, manager):
    decide(organization, "custom_fields", [{"name": "team", "type": "text"}])
    assert make_template(manager, body="Hi {{custom_fields.team|there}}").status == 201


def test_a_name_is_taken_once(manager):
    assert make_template(manager).status == 201
    assert (make_template(manager).status, make_template(manager).code) == (409, "duplicate_template")


def test_a_change_raises_the_version_and_is_refused_to_who_has_not_read_it(manager):
    made = make_template(manager).body
    changed = change_template(manager, "welcome_sms", 1, body="Hello")
    assert (changed.status, changed.body["version"], changed.headers["etag"]) == (200, 2, '"2"')
    assert changed.body | {"version": 1, "body": made["body"], "updated_at": made["updated_at"]} == made
    assert change_template(manager, "welcome_sms", 1, body="Hi").code == "version_mismatch"


def test_a_change_is_judged_like_a_new_one(manager):
    make_template(manager)
    assert change_template(manager, "welcome_sms", 1, body="{{nothing}}").code == "unknown_placeholder"
    assert change_template(manager, "welcome_sms", 1, subject="Hi").code == "not_of_this_channel"


# Previews -------------------------------------------------------------------------------------------------------------


def test_a_preview_is_what_would_go_out(organization, manager):
    lead = create(manager, first_name="Zoë").body
    make_template(manager, body="Hi {{first_name|there}} 😀")
    shown = preview(manager, "welcome_sms", lead).body
    assert (shown["body"], shown["characters"], shown["sms_parts"]) == ("Hi Zoë 😀", 8, 1)
    decide(organization, "postal_address", "1 Main St")
    make_template(manager, **EMAIL)
    shown = preview(manager, "welcome_email", lead).body
    assert shown["subject"] == "Hi Zoë"
    assert shown["body"].startswith("Dear Zoë\n\n--\n1 Main St\nUnsubscribe: https://")
    assert shown["sms_parts"] is None


def test_an_email_without_a_postal_address_is_not_shown(manager):
    lead = create(manager).body
    make_template(manager, **EMAIL)
    assert preview(manager, "welcome_email", lead).code == "postal_address_required"


def test_a_preview_of_a_lead_that_the_agent_does_not_see_is_not_found(organization, manager):
    decide(organization, "agents_see_own_leads_only", value=True)
    lead = create(manager).body
    make_template(manager)
    assert preview(caller(organization, "agent"), "welcome_sms", lead).status == 404
    assert preview(manager, "welcome_sms", lead).status == 200


@pytest.mark.parametrize("default", ["\u200b", "\u2063", "\u00ad", "\x07", " \u200d"])
def test_a_default_that_nobody_can_see_is_none(manager, default):
    made = make_template(manager, body="Hello {{first_name|" + default + "}}")
    assert (made.status, made.body["errors"][0]["code"]) == (422, "default_required")


def test_a_value_that_nobody_can_see_is_none():
    assert render("Hello {{first_name|there}}", {"first_name": "\u200b\u2063"}) == "Hello there"
