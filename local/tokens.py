"""Signs and checks tokens with an RSA key of this machine, in the place of Cognito."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import psycopg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from psycopg.rows import dict_row

AUDIENCE = "leadline-local"
ISSUER = "urn:leadline:local"  # no port in it: a token is good for the stack of its DATA, wherever that listens


@cache
def key(data: Path) -> RSAPrivateKey:
    """The key of this data folder, made on first use; two processes that make it at once get the same one."""
    path, draft = data / "token-key.pem", data / f"token-key.{os.getpid()}"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        made = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft.touch(mode=0o600)
        draft.write_bytes(made)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return serialization.load_pem_private_key(path.read_bytes(), password=None)


def find_claims(superuser: str, role: str, **ids: object) -> dict[str, str] | None:
    """The claims of the first active member in a role, or of the one that `tenant`, `org` and `member` single out."""
    with psycopg.connect(superuser, row_factory=dict_row) as conn:
        return conn.execute(
            """
            select subject as sub, tenant_id::text as "custom:tenant_id",
                organization_id::text as "custom:organization_id", role as "custom:role"
            from members
            where active and role = %(role)s
                and tenant_id = coalesce(%(tenant)s, tenant_id)
                and organization_id = coalesce(%(org)s, organization_id)
                and id = coalesce(%(member)s, id)
            order by created_at, organization_id, id
            """,
            {"role": role, **ids},
        ).fetchone()


def sign(data: Path, claims: dict[str, Any], lifetime: timedelta = timedelta(hours=12)) -> str:
    """A token as Cognito would issue it; `claims` add to, or replace, the standard ones."""
    now = datetime.now(UTC)
    standard = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + lifetime, "token_use": "id"}
    return jwt.encode({**standard, **claims}, key(data), algorithm="RS256")


def verify(data: Path, token: str) -> dict[str, Any]:
    """The claims of a token that is ours (signature, audience, issuer) and in time; else jwt.InvalidTokenError."""
    public, required = key(data).public_key(), {"require": ["exp"]}
    return jwt.decode(token, public, ["RS256"], required, audience=AUDIENCE, issuer=ISSUER)
