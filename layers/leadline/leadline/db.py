"""The two doors to the database: a tenant's transaction, and the system's own. Nothing else connects or commits."""

import logging
import select
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from pydantic_core import from_json

from leadline import metrics, settings
from leadline.errors import Busy, LeadlineError, NotAMember

Transaction = psycopg.Connection[DictRow]

NOT_A_MEMBER = "LD403"  # raised by enter_context
KEY_TAKEN = "LD409"  # raised by claim_idempotency_key
OUT_OF_TIME = {"55P03", "57014", "40P01"}  # lock timeout, statement timeout, deadlock

_connection: Transaction | None = None


class KeyTaken(Exception):
    """The Idempotency-Key of this transaction has an answer already; nothing was done."""


@dataclass(frozen=True)
class Caller:
    """Who acts for which organization, and what history will say of it.

    `subject` and `role` come from verified claims; without a subject the system itself acts for the organization.
    """

    tenant_id: UUID
    organization_id: UUID
    subject: str | None = None
    role: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    change_reason: str | None = None
    trigger_type: str | None = None
    trigger_id: str | None = None


@contextmanager
def tenant_transaction(caller: Caller, *, pipelined: bool = True) -> Generator[Transaction]:
    """One transaction that sees one organization; it commits when the block ends, and rolls back when the block raises.

    BEGIN, the context and the block's first statement travel in one round trip. Everything unfetched has been checked
    by the time the block is left. `pipelined=False` is for COPY, which a pipeline refuses.
    Raises NotAMember, or Busy when a time limit of the role is reached.
    """
    counted = metrics.told_together(tenant_id=caller.tenant_id, organization_id=caller.organization_id)
    with counted, _transaction(pipelined=pipelined) as tx:
        tx.execute(
            """
            select enter_context(
                %(tenant_id)s, %(organization_id)s, %(subject)s, %(role)s, %(ip_address)s, %(user_agent)s,
                %(change_reason)s, %(trigger_type)s, %(trigger_id)s
            )
            """,
            vars(caller),
        )
        yield tx


@contextmanager
def system_transaction() -> Generator[Transaction]:
    """One transaction without a tenant, as whatever role this function's DATABASE_URL names.

    For the application role every tenant table raises in it.
    """
    with metrics.told_together(), _transaction(pipelined=True) as tx:
        yield tx


def fetch_one(tx: Transaction, query: LiteralString, params: dict[str, Any]) -> DictRow:
    """The row of a statement that always has one."""
    row = tx.execute(query, params).fetchone()
    if row is None:
        raise LookupError("the statement answered no row")
    return row


@contextmanager
def _transaction(*, pipelined: bool) -> Generator[Transaction]:
    conn = _open()
    if conn.pgconn.transaction_status != TransactionStatus.IDLE:
        # A context set inside a savepoint would outlive it.
        raise RuntimeError("transactions do not nest")
    committing = False
    try:
        # An autocommit connection, and BEGIN as a statement: psycopg's own would cost a round trip each.
        with conn.pipeline() if pipelined and settings.pipelining() else nullcontext():
            conn.execute("begin")
            try:
                yield conn
            except LeadlineError:
                conn.execute("rollback")  # travels with the end of the pipeline: a refusal costs no trip more
                raise
            committing = True
            conn.execute("commit")
    except psycopg.Error as error:
        if error.sqlstate == NOT_A_MEMBER:
            raise NotAMember from None
        if error.sqlstate == KEY_TAKEN:
            raise KeyTaken from None
        # A connection that is lost before the commit has changed nothing; one lost in it may have.
        if error.sqlstate in OUT_OF_TIME or (conn.closed and not committing):
            raise Busy from error
        raise
    finally:
        if not conn.closed and conn.pgconn.transaction_status != TransactionStatus.IDLE:
            conn.rollback()


def _open() -> Transaction:
    """The connection of this process, opened on first use and again after the server has hung up."""
    global _connection  # noqa: PLW0603 - one process of a function serves one request at a time, on one connection
    if _connection is None or _connection.closed or _hung_up(_connection):
        url = settings.database_url()
        server = conninfo_to_dict(url)
        password = server.get("password") or _iam_token(
            **{part: str(server[part]) for part in ("host", "port", "user")}
        )
        # A pipeline that ends on an error logs the errors after it, with their values; the first one is raised anyway.
        logging.getLogger("psycopg").disabled = True
        try:
            _connection = psycopg.Connection[DictRow].connect(
                url,
                password=str(password),
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,  # a prepared statement pins a session of RDS Proxy
                connect_timeout=5,
                application_name="leadline",
            )
        except psycopg.OperationalError as error:
            logging.getLogger("leadline").error("database unreachable", extra={"detail": str(error)})
            raise Busy from None
        # Three times as fast as json.loads, which takes most of the time of reading a page of leads.
        set_json_loads(partial(from_json, cache_strings="keys"), _connection)
    return _connection


def _hung_up(conn: Transaction) -> bool:
    """An idle connection has nothing to read, unless the server has said goodbye."""
    readable, _, _ = select.select([conn.pgconn.socket], [], [], 0)
    if readable:
        conn.close()
    return bool(readable)


def _iam_token(host: str, port: str, user: str) -> str:
    """A password for RDS, signed here with the function's own credentials; valid for 15 minutes of connecting."""
    # Imported on the first connection, never at a function's start. The signer alone: a client would cost 300 ms.
    from botocore.auth import SigV4QueryAuth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    environment = settings.aws_credentials()
    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    signer = SigV4QueryAuth(
        Credentials(environment.access_key, environment.secret_key, environment.session_token),
        "rds-db",
        environment.region,
        expires=900,
    )
    signer.add_auth(request)
    return str(request.url).removeprefix("https://")
