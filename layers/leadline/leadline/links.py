"""Links that a person follows without a token of the API: each carries, sealed, whom it is for.

Sealed means encrypted and authenticated at once (AES-SIV, RFC 5297): no address stands in a URL for whoever sees it go
by, and a link of which one bit is changed is none. The same address has the same link, however often it is written.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from leadline import settings
from leadline.inputs import folded

LONGEST = 2000  # characters of a token: the longest address that mail knows makes 430
PURPOSE = b"leadline unsubscribe 1"  # another kind of link shall never be taken for this one


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Who is to hear nothing more, and from whom."""

    tenant_id: UUID
    organization_id: UUID
    address: str


def unsubscribe_url(tenant_id: UUID, organization_id: UUID, address: str) -> str:
    """The link by which whoever reads mail at this address ends it; see `/unsubscribe/{token}`."""
    return f"{settings.public_url()}/unsubscribe/{unsubscribe_token(tenant_id, organization_id, address)}"


def unsubscribe_token(tenant_id: UUID, organization_id: UUID, address: str) -> str:
    """The key's id and what it sealed, as one word that a URL may hold. It never expires (15 USC 7704)."""
    keys = settings.link_keys()
    told = tenant_id.bytes + organization_id.bytes + folded(address).encode()
    sealed = _cipher(keys.secrets[keys.current]).encrypt(told, _beside(keys.current))
    return f"{keys.current}.{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"


def find_unsubscribe(token: str) -> Unsubscribe | None:
    """What a link of ours says, under the newest key or one before it; None for anything else."""
    key_id, dot, sealed = token.partition(".")
    secret = settings.link_keys().secrets.get(key_id)
    if secret is None or not dot or len(token) > LONGEST:
        return None
    try:
        raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        # The tag is compared in constant time, before anything that was sealed is given out.
        told = _cipher(secret).decrypt(raw, _beside(key_id))
    except (binascii.Error, ValueError, InvalidTag):
        return None
    return Unsubscribe(UUID(bytes=told[:16]), UUID(bytes=told[16:32]), told[32:].decode())


def _cipher(secret: str) -> AESSIV:
    """A secret of any length makes the 64 bytes that AES-256 in this mode takes, for this purpose alone."""
    return AESSIV(hmac.digest(secret.encode(), PURPOSE, hashlib.sha512))


def _beside(key_id: str) -> list[bytes]:
    """What is authenticated beside: whose link it is stands inside, and which key is only believed with it."""
    return [PURPOSE, key_id.encode()]
