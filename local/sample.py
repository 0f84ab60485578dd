"""Sample data: two tenants, three organizations, members of each role, leads, history, a budget, a sequence.

Ids are fixed and stand in the README. Loading twice changes nothing. Numbers are fictitious: 555-0100 to 555-0199 of an
area code are kept free for that.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from leadline.db import fetch_one

SAMPLES = UUID("5a3c0000-0000-7000-8000-000000000000")
AT_ONCE: dict[str, Any] = {"delay_days": 0, "delay_hours": 0, "delay_minutes": 0, "conditions": {}}
ROLES = ("admin", "manager", "agent", "service")
SOURCES = {
    "facebook": ["spring_campaign", "lookalike"],
    "google_ads": ["brand", "generic"],
    "referral": ["member"],
    "website": ["contact_form"],
    "job_fair": ["austin", "denver"],
    "purchased_list": ["broker_a"],
}
# The ways that leads go, each from new; every status is somebody's last.
PATHS = [
    (),
    ("contacted",),
    ("contacted", "qualified"),
    ("contacted", "nurturing"),
    ("contacted", "qualified", "hot"),
    ("contacted", "cold"),
    ("contacted", "cold", "contacted", "qualified"),
    ("contacted", "qualified", "hot", "recruited"),
    ("contacted", "dnc"),
]
FIRST_NAMES = ["Ana", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "José", "Kwame", "Olga", "Tuyết"]
LAST_NAMES = ["Adler", "Brooks", "Castillo", "Evans", "Fischer", "García", "Hughes", "Ito", "Khan", "Nguyen", "O'Neil"]
PLACES = [
    ("415", "San Francisco", "CA", "America/Los_Angeles"),
    ("305", "Miami", "FL", "America/New_York"),
    ("404", "Atlanta", "GA", "America/New_York"),
    ("512", "Austin", "TX", "America/Chicago"),
    ("206", "Seattle", "WA", "America/Los_Angeles"),
    ("303", "Denver", "CO", "America/Denver"),
    ("602", "Phoenix", "AZ", "America/Phoenix"),
]


@dataclass(frozen=True)
class Organization:
    """One organization of the sample: fixed ids of itself, of its tenant and (derived) of its members and leads."""

    tenant_id: UUID
    tenant: str
    id: UUID
    name: str
    leads: int

    def member(self, role: str) -> UUID:
        """The id, and locally also the token's subject, of the one member in a role."""
        return UUID(int=self.id.int + 1 + ROLES.index(role))


HARBOR = UUID("11111111-0000-7000-8000-000000000000")
SUMMIT = UUID("22222222-0000-7000-8000-000000000000")
ORGANIZATIONS = [
    Organization(HARBOR, "Harbor Group", UUID("11111111-0000-7000-8000-000000000100"), "Harbor Insurance", 90),
    Organization(HARBOR, "Harbor Group", UUID("11111111-0000-7000-8000-000000000200"), "Harbor Solar", 60),
    Organization(SUMMIT, "Summit Partners", UUID("22222222-0000-7000-8000-000000000100"), "Summit Homes", 50),
]


def load(dsn: str) -> None:
    """Loads what is missing, as the owner, whom row-level security binds too: one transaction for an organization."""
    with psycopg.Connection[DictRow].connect(dsn, autocommit=True, row_factory=dict_row) as conn:
        for organization in ORGANIZATIONS:
            with conn.transaction():
                _load_organization(conn, organization)


def _load_organization(conn: psycopg.Connection[DictRow], organization: Organization) -> None:
    values = {"tenant_id": organization.tenant_id, "id": organization.id}
    conn.execute(
        "select set_config('app.current_tenant_id', %(tenant_id)s::text, true),"
        " set_config('app.current_org_id', %(id)s::text, true)",
        values,
    )
    conn.execute(
        "insert into tenants (id, name) values (%s, %s) on conflict do nothing",
        (organization.tenant_id, organization.tenant),
    )
    made = conn.execute(
        "insert into organizations (id, name) values (%s, %s) on conflict do nothing",
        (organization.id, organization.name),
    )
    if made.rowcount == 0:
        return
    for role in ROLES:
        conn.execute(
            "insert into members (id, subject, name, role) values (%(id)s, %(id)s::text, %(name)s, %(role)s)",
            {"id": organization.member(role), "name": f"{organization.name} {role}", "role": role},
        )
    _load_leads(conn, organization)
    _prepare_calls(conn)
    _load_nurture(conn, organization)
    for number, reason in (
        ("+14155550190", "complaint"),
        ("+13055550191", "legal_requirement"),
        ("+15125550192", "cooling_off"),
    ):
        conn.execute(
            """
            insert into dnc_list (phone_number, reason, source, expires_at)
            values (
                %(number)s, %(reason)s, 'sample',
                case %(reason)s when 'cooling_off' then now() + interval '30 days' end
            )
            """,
            {"number": number, "reason": reason},
        )


def _prepare_calls(conn: psycopg.Connection[DictRow]) -> None:
    """Consent of everybody who has not opted out, and money."""
    conn.execute(
        """
        insert into consents (
            phone_number, kind, channels, voice_modes, disclosure_text, disclosure_version, method, captured_at,
            captured_at_offset
        )
        select
            phone_number, 'prior_express_written', '{call,sms}', '{artificial,human}',
            'I agree to be called and texted at this number, also by an artificial voice. No purchase depends on it.',
            'sample', 'web_form', created_at, 0
        from leads where status <> 'dnc'
        """
    )
    conn.execute("select book_budget('credit', 500, null, 'top_up', 'sample', 'sample data', '{}', 'sample')")


def _load_nurture(conn: psycopg.Connection[DictRow], organization: Organization) -> None:
    """Two templates, an active sequence of them that enrolls nobody by itself, and four leads on their way through it.

    Their first step is due in a day, so that nothing goes out unless somebody enrolls a lead.
    """
    _load_templates(conn)
    values = {
        "sequence": uuid5(organization.id, "sequence"),
        "steps": Jsonb(
            [
                {"step": 1, "channel": "sms", "template_id": "welcome_sms", **AT_ONCE},
                {"step": 2, "channel": "email", "template_id": "welcome_email", **AT_ONCE, "delay_days": 2},
            ]
        ),
        "enrollments": [uuid5(organization.id, f"enrollment {number}") for number in range(4)],
        "leads": [uuid5(organization.id, f"lead {number}") for number in range(4)],
    }
    conn.execute(
        "insert into nurture_sequences (id, name, steps, active) values (%(sequence)s, 'Welcome', %(steps)s, true)",
        values,
    )
    conn.execute(
        """
        insert into lead_sequence_enrollments (id, lead_id, sequence_id, status, next_step_scheduled_at)
        select id, lead_id, %(sequence)s, case number when 2 then 'paused' else 'active' end,
            case when number <> 2 then now() + interval '1 day' end
        from unnest(%(enrollments)s::uuid[], %(leads)s::uuid[]) with ordinality as sample (id, lead_id, number)
        """,
        values,
    )


def _load_templates(conn: psycopg.Connection[DictRow]) -> None:
    """What the sequence says, and the address that its emails need."""
    conn.execute(
        """
        insert into system_config (config_key, config_value)
        values ('postal_address', '"100 Example Street, Springfield, IL 62701"')
        """
    )
    conn.execute(
        """
        insert into templates (template_id, channel, name, subject, body)
        values
            (
                'welcome_sms', 'sms', 'Welcome by text', null,
                'Hi {{first_name|there}}, this is {{organization.name}}. When may we call you? Reply STOP to opt out.'
            ),
            (
                'welcome_email', 'email', 'Welcome by email', 'Welcome, {{first_name|friend}}',
                'Hi {{first_name|there}}, thank you for your interest. What would you like to know?'
            )
        """
    )


def _leads(organization: Organization) -> Iterator[dict[str, Any]]:
    """The same people every time."""
    chance = random.Random(organization.id.int)  # noqa: S311 - nothing secret
    for number in range(organization.leads):
        area, city, state, time_zone = PLACES[number % len(PLACES)]
        source = list(SOURCES)[number % len(SOURCES)]
        yield {
            "id": uuid5(organization.id, f"lead {number}"),
            "user_id": organization.member("agent") if number % 3 else None,
            "first_name": chance.choice(FIRST_NAMES),
            "last_name": chance.choice(LAST_NAMES),
            "phone_number": f"+1{area}55501{number // len(PLACES):02d}",
            "email": f"lead{number}@example.com" if number % 2 else None,
            "city": city,
            "state": state,
            "time_zone": time_zone,
            "source": source,
            "sub_source": chance.choice(SOURCES[source]),
            "tags": chance.sample(["bilingual", "callback", "licensed", "veteran", "weekend"], chance.randint(0, 2)),
            "lead_score": chance.randint(5, 95),
            "age": chance.randint(24 * 10, 24 * 120),
        }


def _load_leads(conn: psycopg.Connection[DictRow], organization: Organization) -> None:
    paths: dict[UUID, tuple[str, ...]] = {}
    for number, lead in enumerate(_leads(organization)):
        paths[lead["id"]] = PATHS[number % len(PATHS)]
        conn.execute(
            """
            insert into leads (
                id, user_id, first_name, last_name, phone_number, email, city, state, time_zone, source, sub_source,
                tags, lead_score, created_at
            )
            values (
                %(id)s, %(user_id)s, %(first_name)s, %(last_name)s, %(phone_number)s, %(email)s, %(city)s, %(state)s,
                %(time_zone)s, %(source)s, %(sub_source)s, %(tags)s, %(lead_score)s,
                now() - make_interval(hours => %(age)s)
            )
            """,
            lead,
        )
    conn.execute(
        """
        insert into lead_assignments (lead_id, to_user, reason, assigned_at)
        select id, user_id, 'created with this owner', created_at from leads where user_id is not null
        """
    )
    for stage in range(max(map(len, PATHS))):
        _move(conn, organization, {lead_id: path[stage] for lead_id, path in paths.items() if len(path) > stage}, stage)


def _move(
    conn: psycopg.Connection[DictRow], organization: Organization, to_status: dict[UUID, str], stage: int
) -> None:
    """One stage of every lead that goes so far, by call; then its history is dated back, a few days after the last."""
    fetch_one(
        conn,
        """
        select enter_context(
            %(tenant_id)s, %(organization_id)s, %(subject)s, 'agent', '192.0.2.10', 'sample data', 'sample data',
            'call', %(call)s
        )
        """,
        {
            "tenant_id": organization.tenant_id,
            "organization_id": organization.id,
            "subject": str(organization.member("agent")),
            "call": f"sample-call-{stage + 1}",
        },
    )
    conn.execute(
        """
        with moved as (
            update leads
            set status = stage.to_status, calling_blocked = stage.to_status = 'dnc',
                interaction_count = interaction_count + 1,
                last_contact_date = created_at + make_interval(days => %(days)s)
            from unnest(%(leads)s::uuid [], %(statuses)s::text []) as stage (lead_id, to_status)
            where leads.id = stage.lead_id
            returning leads.phone_number, leads.status
        )
        insert into dnc_list (phone_number, reason, source, detected_phrase)
        select phone_number, 'lead_requested', 'call', 'please stop calling me' from moved where status = 'dnc'
        """,
        {"leads": list(to_status), "statuses": list(to_status.values()), "days": (stage + 1) * 2},
    )
    conn.execute(
        """
        update lead_status_history as history set changed_at = leads.last_contact_date
        from leads
        where leads.id = history.lead_id and history.trigger_id = %(call)s
        """,
        {"call": f"sample-call-{stage + 1}"},
    )
