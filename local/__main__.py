"""The commands behind `make run`, `build`, `psql`, `token`, `tenant` and `call`; the environment says PORT and DATA.

Each command imports what is slow itself, so that `token` answers at once.
"""
# ruff: noqa: PLC0415

import argparse
import json
import os
import re
import shlex
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_server
from threading import Event

from leadline.migrations import MigrationError
from local import postgres, template
from local.runtime import FunctionError, Lambda
from local.template import ROOT

PORT = int(os.environ.get("PORT") or 3000)
DATA = Path(os.environ.get("DATA") or ".data").resolve()
STACK = f" PORT={PORT}" if PORT != 3000 else ""  # as make wants to be told of a stack that is not the usual one
STACK += f" DATA={shlex.quote(str(DATA))}" if Path(".data").resolve() != DATA else ""
GREETING = """
Leadline listens on http://127.0.0.1:{port} and logs to {logs}. Ctrl-C stops it. In another terminal, in this folder:

  TOKEN=$(make -s token{stack})
  leadline() {{ curl -sS -i -H "Authorization: Bearer $TOKEN" "$@"; echo; }}
  LEADS=http://127.0.0.1:{port}/leads

  # a lead, and its number again, which is refused with the id of the lead
  leadline $LEADS -d '{{"phone_number": "(415) 555-0142", "first_name": "Ada"}}' -H 'Content-Type: application/json'
  REFUSED=$(leadline $LEADS -d '{{"phone_number": "415.555.0142"}}' -H 'Content-Type: application/json')
  echo "$REFUSED"

  # the newest leads, and ours with its version
  leadline "$LEADS?limit=3"
  LEAD=$(echo "$REFUSED" | sed -n 's/.*"lead_id": *"\\([^"]*\\)".*/\\1/p')
  VERSION=$(leadline $LEADS/$LEAD | tr -d '\\r' | awk 'tolower($1) == "etag:" {{print $2}}')

  # a change of that version, and what is known of it
  leadline $LEADS/$LEAD -X PATCH -H "If-Match: $VERSION" -d '{{"status": "contacted", "change_reason": "called"}}' \\
    -H 'Content-Type: application/json'
  leadline $LEADS/$LEAD/audit

  # a whole call to a lead of the sample data: the gate, the call system's messages, the timeline
  make call{stack} LEAD=98025be7-5325-58dc-ae3c-5298e889cf99 OUTCOME=interested

  # what sequences have sent: http://127.0.0.1:{port}/outbox
"""


def run() -> None:
    """The whole product, until Ctrl-C or SIGTERM."""
    from local import sample, suite

    try:
        create_server(("127.0.0.1", PORT)).close()
    except OSError as error:
        reason = os.strerror(error.errno)
        sys.exit(f"Port {PORT}: {reason}. Does Leadline run already? Else try: make run PORT={PORT + 1}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        stack.callback(postgres.stop, DATA)
        server = _server()
        sample.load(server.dsn("owner"))
        databases = {user: server.dsn(role) for role, user in postgres.ROLES.items()}
        running = stack.enter_context(suite.running(DATA, databases, PORT))
        print(GREETING.format(port=PORT, logs=running.logs, stack=STACK), flush=True)
        Event().wait()
    print("Leadline has stopped.")


def _interrupt(*_: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # what stops now is not to be disturbed
    raise KeyboardInterrupt


def _server() -> postgres.Server:
    server = postgres.start(DATA)
    postgres.prepare(server)
    return server


def dsn(role: str) -> None:
    """The URL of the database, for a role."""
    print(_server().dsn(role))


def psql(role: str) -> None:
    """psql on the database, as a role."""
    program = postgres.installation()[0] / "bin" / "psql"
    os.execv(program, [program, _server().dsn(role)])  # noqa: S606


def token(role: str, **ids: str | None) -> None:
    """A signed token of the first member in a role, or of the one that the ids single out."""
    from local import tokens

    _require_uuids(ids)
    if not (claims := tokens.find_claims(_server().dsn("superuser"), role, **ids)):
        sys.exit(f"There is no active {role} of that tenant, organization and id.")
    print(tokens.sign(DATA, claims))


def _require_uuids(ids: dict[str, str | None]) -> None:
    for name, value in ids.items():
        if value and not re.fullmatch(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
            sys.exit(f"{name.upper()} is no UUID: {value}")


def call(lead: str | None, outcome: str, **ids: str | None) -> None:
    """A whole call to a lead, through the gate and the queue of the suite that runs."""
    from local import calls, suite

    if not lead:
        sys.exit("Say which lead: make call LEAD=... OUTCOME=interested (the README names some of the sample data)")
    _require_uuids({"lead": lead, **ids})
    if not (running := suite.find(DATA)):
        sys.exit(f"Leadline does not run here. In another terminal: make run{STACK}")
    try:
        calls.play(running, calls.find(DATA, _server().dsn("superuser"), lead, **ids), outcome)
    except calls.CallError as error:
        sys.exit(str(error))


def tenant(name: str | None) -> None:
    """Let a customer in, by the function that does it in the cloud."""
    if not name:
        sys.exit('Give the customer a name: make tenant NAME="Acme Realty"')
    properties = template.read(ROOT / "template.yaml").functions["provision"]
    folder, layer = ROOT / properties["CodeUri"], ROOT / "layers" / "leadline"
    provision = Lambda(properties, folder, layer, DATA / "logs", {"DATABASE_URL": _server().dsn("owner")})
    try:
        answer = provision.invoke({"tenant": name, "organization": name, "admin_subject": "admin"})
    finally:
        provision.close()
    print(json.dumps(answer, indent=2))
    print(f"make -s token{STACK} TENANT={answer['tenant_id']} ORG={answer['organization_id']}")


def seed() -> None:
    """More leads, for looking at plans and times at size."""
    from local import seed

    leads = os.environ.get("LEADS") or "100000"
    if not leads.isdecimal():
        sys.exit(f"LEADS is no number: {leads}")
    seconds = seed.fill(_server().dsn("superuser"), int(leads))
    print(f"{int(leads):,} leads in {seed.ORGANIZATIONS} organizations, {seconds:.0f} s. A token of one of them:")
    tenant_id, organization_id = seed.organization(0)
    print(f"make -s token{STACK} TENANT={tenant_id} ORG={organization_id}")


def build() -> None:
    """The layer and the functions as they are deployed."""
    from local import build

    sys.exit(build.main())


def lint_template() -> None:
    """What cfn-lint finds in template.yaml."""
    from local import lint_template

    sys.exit(lint_template.main())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for command in (run, build, seed, dsn, psql, token, tenant, call, lint_template):
        added = commands.add_parser(command.__name__.replace("_", "-"), help=command.__doc__)
        added.set_defaults(command=command)
        if command in (dsn, psql):
            added.add_argument("--role", choices=["app", "owner", "superuser"], default="app")
        if command is token:
            added.add_argument("--role", default=os.environ.get("ROLE") or "admin")
            for option in ("tenant", "org", "member"):
                added.add_argument(f"--{option}", default=os.environ.get(option.upper()) or None)
        if command is call:
            added.add_argument("--lead", default=os.environ.get("LEAD") or None)
            added.add_argument("--outcome", default=os.environ.get("OUTCOME") or "interested")
            for option in ("tenant", "org"):
                added.add_argument(f"--{option}", default=os.environ.get(option.upper()) or None)
        if command is tenant:
            added.add_argument("--name", default=os.environ.get("NAME"))
    arguments = vars(parser.parse_args())
    try:
        arguments.pop("command")(**arguments)
    except (postgres.ServerError, MigrationError, FunctionError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
