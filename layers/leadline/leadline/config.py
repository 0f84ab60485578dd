"""What an organization has decided for itself; a key that is absent has the default written here."""

from leadline.db import Transaction

DEFAULT_REGION = "US"


def default_region(tx: Transaction) -> str:
    """The region (ISO 3166-1 alpha-2) from which a phone number without a country code is read."""
    row = tx.execute(
        "select config_value #>> '{}' as region from system_config where config_key = 'default_region'"
    ).fetchone()
    return row["region"] if row else DEFAULT_REGION
