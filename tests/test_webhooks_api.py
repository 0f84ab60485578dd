"""Webhooks: what is not signed by who it says is refused; what is signed finds its organization, or is nobody's."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from functions.webhooks_api.app import handler
from leadline import db, provider_keys
from leadline.calls import read
from leadline.db import tenant_transaction
from leadline.errors import Busy
from leadline.webhooks import sns
from tests.calling import Caller

NOBODY = Caller({})
KEY, OLD_KEY, FORGED = (Ed25519PrivateKey.generate() for _ in range(3))
RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
TOPIC = "arn:aws:sns:us-east-1:123456789012:email-events"
CERTIFICATE_AT = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
OURS, PERSON = "+14155550199", "+13055550100"


def public(key) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def certificate(key, days=(-1, 1)) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    first, last = (datetime.now(UTC) + timedelta(days=day) for day in days)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(first).not_valid_after(last)
    return made.sign(RSA_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(autouse=True)
def handed_over(database, monkeypatch):
    """As the dispatcher, with keys and a topic; what was handed over, read as the worker reads it."""
    monkeypatch.setenv("DATABASE_URL", database.dsn("dispatch"))
    monkeypatch.setattr("leadline.db._connection", None)
    monkeypatch.setenv("LEADLINE_TELNYX_PUBLIC_KEYS", f"{public(OLD_KEY)}, {public(KEY)}")
    monkeypatch.setenv("LEADLINE_SES_TOPICS", TOPIC)
    monkeypatch.setenv("CALL_EVENTS_QUEUE_URL", "events")
    sent = []

    def hand_over(url, messages):
        assert url == "events"
        sent.extend(read(one.model_dump_json(), datetime.now(UTC)) for one in messages)

    monkeypatch.setattr("leadline.events.hand_over", hand_over)
    yield sent
    if db._connection is not None:
        db._connection.close()


@pytest.fixture(autouse=True)
def fetched(monkeypatch):
    """What stands at addresses of SNS; the addresses that were asked for."""
    pages, asked = {CERTIFICATE_AT: certificate(RSA_KEY)}, []

    def fetch(url, largest):
        asked.append(url)
        if url not in pages:
            raise Busy
        return pages[url][:largest]

    monkeypatch.setattr(sns, "_fetch", fetch)
    monkeypatch.setattr(sns, "_certificates", {})
    fetch.pages, fetch.asked = pages, asked
    return fetch


@pytest.fixture
def remember(database, monkeypatch):
    """Notes keys of an organization as its worker does."""

    def remember(organization, provider, *keys):
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", database.dsn("app"))
            patch.setattr("leadline.db._connection", None)
            with tenant_transaction(organization.caller(None)) as tx:
                provider_keys.remember(tx, provider, keys)
            db._connection.close()

    return remember


@pytest.fixture
def number():
    """A number of ours that no other test has."""
    return f"+1415{uuid4().int % 10**7:07d}"


def post(path, body, headers=None, *, as_base64=False):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = base64.b64encode(raw).decode() if as_base64 else raw.decode()
    event = NOBODY.event(f"POST /webhooks/{path}", raw_body=text, headers=headers, base64=as_base64)
    event["requestContext"].pop("authorizer")
    answer = handler(event, None)
    return answer["statusCode"], json.loads(answer["body"])


# Telnyx ---------------------------------------------------------------------------------------------------------------


def signed(body: bytes, key=KEY, at: float | None = None, **other) -> dict[str, str]:
    stamp = str(int(at if at is not None else time.time()))
    signature = base64.b64encode(key.sign(stamp.encode() + b"|" + body)).decode()
    return {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature, **other}


def telnyx_event(name="message.received", **payload):
    message = {"id": str(uuid4()), "from": {"phone_number": PERSON}, "text": "STOP", **payload}
    at = datetime.now(UTC).isoformat()
    return {"data": {"id": str(uuid4()), "event_type": name, "occurred_at": at, "payload": message}}


def to(number, status="webhook_delivered"):
    return [{"phone_number": number, "status": status}]


def send(told, **how):
    body = told if isinstance(told, bytes) else json.dumps(told, ensure_ascii=False).encode()
    return post("telnyx", body, signed(body, **how), as_base64=True)


@pytest.mark.parametrize("as_base64", [False, True])
@pytest.mark.parametrize("key", [KEY, OLD_KEY], ids=["new", "old"])
def test_a_text_to_an_own_number_is_handed_to_its_organization(
    customer, remember, handed_over, number, *, as_base64, key
):
    organization = customer()
    remember(organization, "telnyx", number)
    told = telnyx_event(to=to(number), text="stóp 🛑 \u202e")
    body = json.dumps(told, ensure_ascii=False).encode()
    assert post("telnyx", body, signed(body, key), as_base64=as_base64)[0] == 200
    (message,) = handed_over
    assert (message.tenant_id, message.organization_id) == (organization.tenant_id, organization.organization_id)
    assert (message.id, message.type) == (told["data"]["id"], "message.received")
    assert (message.message.from_, message.message.to, message.message.text) == (PERSON, number, "stóp 🛑 \u202e")
    assert message.message.channel == "sms"


def test_a_stop_to_a_shared_number_is_one_for_each_organization(customer, remember, handed_over, number):
    shared = [customer(), customer()]
    for organization in shared:
        remember(organization, "telnyx", number)
    remember(customer(), "telnyx", OURS)
    assert send(telnyx_event(to=to(number)))[0] == 200
    assert {one.organization_id for one in handed_over} == {one.organization_id for one in shared}


@pytest.mark.parametrize(
    ("name", "status"),
    [("message.sent", "sent"), ("message.finalized", "delivered"), ("message.finalized", "delivery_failed")],
)
@pytest.mark.parametrize("tagged", [False, True])
def test_a_status_is_handed_over_by_the_id_that_we_know(customer, remember, handed_over, *, name, status, tagged):
    organization, run_id = customer(), str(uuid4())
    told = telnyx_event(name, to=to(PERSON, status), tags=[run_id, "spring"] if tagged else None)
    known_as = run_id if tagged else told["data"]["payload"]["id"]
    remember(organization, "telnyx", known_as)
    assert send(told)[0] == 200
    (message,) = handed_over
    assert (message.type, message.message.id, message.message.status) == ("message.status", known_as, status)


@pytest.mark.parametrize(
    ("at", "code"), [(-299, None), (-301, "too_old"), (299, None), (310, "too_old"), (-(10**9), "too_old")]
)
def test_a_signature_is_good_for_five_minutes(at, code):
    status, body = send(telnyx_event(to=to(OURS)), at=time.time() + at)
    assert (status, body.get("code")) == ((401, code) if code else (200, None))


def test_what_is_not_signed_by_telnyx_is_refused(customer, remember, handed_over, number, logged):
    remember(customer(), "telnyx", number)
    body = json.dumps(telnyx_event(to=to(number))).encode()
    good = signed(body)
    forged = {
        "another key": (body, signed(body, FORGED)),
        "another body": (body.replace(b"STOP", b"stop"), good),
        "another time": (body, good | {"telnyx-timestamp": str(int(good["telnyx-timestamp"]) - 1)}),
        "a sign more": (body + b" ", good),
        "no signature": (body, {"telnyx-timestamp": good["telnyx-timestamp"]}),
        "no time": (body, {"telnyx-signature-ed25519": good["telnyx-signature-ed25519"]}),
        "an empty signature": (body, good | {"telnyx-signature-ed25519": ""}),
        "no base64": (body, good | {"telnyx-signature-ed25519": "é€"}),
        "no number": (body, good | {"telnyx-timestamp": "+1795366800"}),
        "a number of another script": (body, good | {"telnyx-timestamp": "١٢٣"}),
        "nothing": (b"", {}),
    }
    answers = {name: post("telnyx", *one) for name, one in forged.items()}
    assert {name: (status, told["code"]) for name, (status, told) in answers.items()} == dict.fromkeys(
        forged, (401, "bad_signature")
    )
    assert handed_over == []
    assert PERSON not in logged()


def test_without_a_key_nothing_of_telnyxs_is_believed(monkeypatch):
    monkeypatch.delenv("LEADLINE_TELNYX_PUBLIC_KEYS")
    assert send(telnyx_event(to=to(OURS)))[0] == 401
    monkeypatch.setenv("LEADLINE_TELNYX_PUBLIC_KEYS", "AAAA,é,")
    assert send(telnyx_event(to=to(OURS)))[0] == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"data": 1}', b'{"data": {"id": {}}}', b"[" * 5000]
)
def test_what_is_signed_and_makes_no_sense_is_refused(body):
    status, told = send(body)
    assert (status, told["code"]) == (400, "malformed_webhook")


def test_what_is_too_large_is_not_even_verified():
    assert send(b" " * 300_001)[0] == 413


@pytest.mark.parametrize(
    ("name", "payload", "reason"),
    [
        ("message.received", {"to": to("+19995550000")}, "unknown_key"),
        ("message.finalized", {"to": to(PERSON, "delivered")}, "unknown_key"),
        ("message.received", {"to": []}, "unknown_key"),
        ("message.received", {"to": "x", "from": 1}, "unknown_type"),
        ("call.hangup", {}, "unknown_type"),
        ("", {}, "unknown_type"),
    ],
)
def test_what_is_nobodys_is_noted_once_without_a_word_of_it(connect, handed_over, name, payload, reason):
    told = telnyx_event(name, **payload)
    for _ in range(2):
        assert send(told)[0] == 200
    assert handed_over == []
    (row,) = connect("superuser").execute("select * from unmatched_webhooks where event_id = %s", [told["data"]["id"]])
    assert (row["provider"], row["type"], row["reason"]) == ("telnyx", name, reason)
    assert PERSON not in str(row)


@pytest.mark.parametrize(
    "at", ["2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "yesterday", 5, None, "2026-01-01T00:00:00"]
)
def test_a_time_that_cannot_be_is_now(customer, remember, handed_over, number, at):
    remember(customer(), "telnyx", number)
    told = telnyx_event(to=to(number))
    told["data"]["occurred_at"] = at
    assert send(told)[0] == 200
    (message,) = handed_over
    assert abs(message.occurred_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_dispatcher_reads_keys_and_writes_what_is_nobodys_and_nothing_else(connect):
    conn = connect("dispatch")
    conn.execute("select provider, key, tenant_id, organization_id from provider_keys")
    for refused in (
        "select id from provider_keys",
        "insert into provider_keys (provider, key) values ('ses', 'a')",
        "delete from provider_keys",
        "select event_id from unmatched_webhooks",
        "delete from unmatched_webhooks",
        "select id from leads",
        "select id from step_runs",
    ):
        with pytest.raises(Exception, match="permission denied"):
            conn.execute(refused)


# SES ------------------------------------------------------------------------------------------------------------------


def email_event(name="Delivery", *, run_id=None, **told):
    mail = {"messageId": f"ses-{uuid4()}", "destination": ["ana@example.com"], "timestamp": "2026-11-01T00:00:00.000Z"}
    if run_id:
        mail["tags"] = {"run_id": [run_id], "ses:configuration-set": ["leadline"]}
    return {"eventType": name, "mail": mail, **told}


def notification(told, *, key=RSA_KEY, version="2", **changed):
    """A message of SNS, signed and then changed."""
    message = {
        "Type": "Notification",
        "MessageId": str(uuid4()),
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": told if isinstance(told, str) else json.dumps(told),
        "Timestamp": datetime.now(UTC).isoformat(),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_AT,
        **{name: changed.pop(name) for name in list(changed) if name in ("SubscribeURL", "Token", "Type")},
    }
    if changed.pop("without_subject", False):
        del message["Subject"]
    names = sns.SIGNED.get(message["Type"], sns.SIGNED["Notification"])
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - as SNS signs
    signature = key.sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**message, "Signature": base64.b64encode(signature).decode(), **changed}


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("without_subject", [False, True])
@pytest.mark.parametrize("known_by", ["run", "message"])
def test_a_delivery_is_handed_to_who_sent_the_email(
    customer, remember, handed_over, fetched, *, version, without_subject, known_by
):
    organization, run_id = customer(), str(uuid4())
    told = email_event(
        run_id=run_id, delivery={"timestamp": "2026-11-01T00:00:05.000Z", "recipients": ["a@example.com"]}
    )
    key = run_id if known_by == "run" else told["mail"]["messageId"]
    remember(organization, "ses", key)
    sent = notification(told, version=version, without_subject=without_subject)
    assert [post("ses", sent)[0] for _ in range(2)] == [200, 200]
    message, again = handed_over
    assert message == again
    assert (message.organization_id, message.id, message.type) == (
        organization.organization_id,
        sent["MessageId"],
        "message.status",
    )
    assert (message.message.id, message.message.status, message.message.to) == (key, "delivered", "a@example.com")
    assert message.occurred_at == datetime(2026, 11, 1, 0, 0, 5, tzinfo=UTC)
    assert fetched.asked == [CERTIFICATE_AT], "a certificate is fetched once"


@pytest.mark.parametrize(
    ("name", "own", "status"),
    [
        ("Send", {"send": {}}, "sent"),
        (
            "Bounce",
            {"bounce": {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": "a@b.co"}]}},
            "bounced",
        ),
        ("Bounce", {"bounce": {"bounceType": "Transient"}}, "soft_bounced"),
        ("Bounce", {"bounce": {"bounceType": "Undetermined"}}, "soft_bounced"),
        ("Complaint", {"complaint": {"complainedRecipients": [{"emailAddress": "a@b.co"}]}}, "complained"),
        ("Reject", {"reject": {"reason": "Bad content"}}, "rejected"),
        ("Open", {"open": {"ipAddress": "192.0.2.1"}}, "opened"),
        ("Click", {"click": {}}, "clicked"),
    ],
)
@pytest.mark.parametrize("field", ["eventType", "notificationType"])
def test_each_event_has_our_word(customer, remember, handed_over, *, name, own, status, field):
    run_id = str(uuid4())
    remember(customer(), "ses", run_id)
    told = email_event(name, run_id=run_id, **own)
    told[field] = told.pop("eventType")
    assert post("ses", notification(told))[0] == 200
    (message,) = handed_over
    assert (message.message.status, message.message.channel) == (status, "email")


HOSTS = [
    "https://sns.us-east-1.amazonaws.com.evil.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://evil.com/sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com@evil.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://evil.com#@sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://s3.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com:x/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com/?Action=GetTopic&x=/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem?x=1",
    "https://sns.us-east-1.amazonaws.com/a/../SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem\n",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-\u0661.pem",
    "https://[::1/SimpleNotificationService-0123456789abcdef.pem",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", HOSTS)
def test_a_certificate_of_another_place_is_not_even_fetched(handed_over, fetched, url):
    fetched.pages[url] = certificate(RSA_KEY)
    status, told = post("ses", notification(email_event(), SigningCertURL=url))
    assert (status, told["code"]) == (401, "bad_signature")
    assert (fetched.asked, handed_over) == ([], [])


def test_what_sns_has_not_signed_is_refused(handed_over):
    good = notification(email_event())
    forged = [
        notification(email_event(), key=OTHER_RSA_KEY),
        good | {"Message": json.dumps(email_event("Complaint"))},
        good | {"MessageId": "another"},
        good | {"Timestamp": "2020-01-01T00:00:00.000Z"},
        good | {"Subject": "another"},
        good | {"SignatureVersion": "1"},
        good | {"SignatureVersion": "3"},
        good | {"Signature": "é"},
        good | {"Signature": ""},
        {name: value for name, value in good.items() if name != "Signature"},
    ]
    assert [post("ses", one)[1]["code"] for one in forged] == ["bad_signature"] * len(forged)
    assert handed_over == []


@pytest.mark.parametrize("days", [(-10, -1), (1, 10)], ids=["over", "to come"])
def test_a_certificate_out_of_its_time_proves_nothing(fetched, days):
    fetched.pages[CERTIFICATE_AT] = certificate(RSA_KEY, days)
    assert post("ses", notification(email_event()))[0] == 401


@pytest.mark.parametrize("page", [b"", b"<html>", certificate(ec.generate_private_key(ec.SECP256R1()))])
def test_a_page_that_is_no_certificate_of_rsa_proves_nothing(fetched, page):
    fetched.pages[CERTIFICATE_AT] = page
    assert post("ses", notification(email_event()))[0] == 401


def test_a_certificate_that_cannot_be_had_is_tried_again_later(fetched):
    fetched.pages.clear()
    assert post("ses", notification(email_event()))[0] == 503


@pytest.mark.parametrize("topic", ["arn:aws:sns:us-east-1:999999999999:email-events", TOPIC + "-2", "", "x"])
def test_another_topic_is_refused_before_anything_is_fetched(fetched, topic):
    status, told = post("ses", notification(email_event(), TopicArn=topic))
    assert (status, told["code"], fetched.asked) == (403, "unknown_topic", [])


SUBSCRIBE = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=abc"


@pytest.mark.parametrize("url", [SUBSCRIBE, "https://sns.us-east-1.amazonaws.com.evil.com/?Action=ConfirmSubscription"])
def test_a_subscription_is_confirmed_at_sns_and_nowhere_else(fetched, handed_over, url):
    fetched.pages[url] = b"<ConfirmSubscriptionResponse/>"
    asked = notification("confirm", Type="SubscriptionConfirmation", SubscribeURL=url, Token="abc")
    assert post("ses", asked)[0] == (200 if url == SUBSCRIBE else 401)
    assert (url in fetched.asked) == (url == SUBSCRIBE)
    assert handed_over == []


def test_a_subscription_to_another_topic_is_not_confirmed(fetched):
    url = SUBSCRIBE
    asked = notification("confirm", Type="SubscriptionConfirmation", SubscribeURL=url, Token="abc", TopicArn="x")
    assert (post("ses", asked)[0], fetched.asked) == (403, [])


@pytest.mark.parametrize(
    "told",
    ["Successfully validated SNS topic for Amazon SES event publishing.", "[]", "{}", '{"eventType": "Delivery"}'],
)
def test_what_says_nothing_of_an_email_is_noted(handed_over, connect, told):
    sent = notification(told)
    assert post("ses", sent)[0] == 200
    (row,) = connect("superuser").execute(
        "select reason from unmatched_webhooks where event_id = %s", [sent["MessageId"]]
    )
    assert (row["reason"], handed_over) == ("unknown_type", [])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Type": "Notification"}', b'{"Type": 1}', b"\xff"])
def test_what_is_no_message_of_sns_is_refused(body):
    assert post("ses", body, as_base64=True)[0] in (400, 403)


def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(HTTPError):
        opener = sns.build_opener(sns._NoRedirect)
        opener.error("http", Request302(), None, 302, "Found", {"location": "https://evil.com/"})


class Request302:
    """As much of a request as the opener's handlers look at."""

    timeout, full_url, host, unverifiable, origin_req_host = 1, "https://sns.us-east-1.amazonaws.com/", "x", True, "x"
    headers = None

    def get_method(self) -> str:
        return "GET"
