"""Invoked at deploy: {"action": "up" | "status", "adopt": null | "NNN"} -> {"done": [...]} or {"status": [...]}.

In the cloud DATABASE_URL leads to the instance, and four secrets of Secrets Manager, each {"username", "password"}, say
as whom: the administrator makes the owner's role and database, the owner migrates, and the roles that the RDS Proxy
logs in as are given the passwords that it has for them. Without ADMIN_SECRET_ARN, DATABASE_URL is the owner's own.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from leadline import migrations, settings

DIRECTORY = Path(__file__).parent / "migrations"


def handler(event: dict[str, Any], context: object) -> dict[str, list[str]]:
    """Applies what is pending and makes the audit log's coming months, or tells what is applied."""
    del context
    if event["action"] not in ("up", "status"):
        raise migrations.MigrationError(f"no action {event['action']!r}: up or status")
    cloud = "ADMIN_SECRET_ARN" in os.environ
    owner = _as("OWNER_SECRET_ARN") if cloud else settings.database_url()
    if event["action"] == "status":
        return {"status": migrations.status(owner, DIRECTORY)}
    if cloud:
        database = str(conninfo_to_dict(owner)["dbname"])
        migrations.bootstrap(_as("ADMIN_SECRET_ARN"), database, _secret("OWNER_SECRET_ARN")["password"])
    adopt = event.get("adopt")
    done = migrations.up(owner, DIRECTORY, adopt and int(adopt))
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute("select make_audit_partitions()")
        for role in (_secret("APP_SECRET_ARN"), _secret("DISPATCH_SECRET_ARN")) if cloud else ():
            migrations.set_password(conn, role["username"], role["password"])
    return {"done": done}


def _as(secret: str) -> str:
    """DATABASE_URL with the user and password of a secret."""
    role = _secret(secret)
    return make_conninfo(settings.database_url(), user=role["username"], password=role["password"])


def _secret(name: str) -> dict[str, str]:
    """The username and password in the secret whose ARN stands in an environment variable."""
    import boto3  # noqa: PLC0415  # only the cloud needs it

    client = cast("Any", boto3).client("secretsmanager")
    return json.loads(client.get_secret_value(SecretId=os.environ[name])["SecretString"])
