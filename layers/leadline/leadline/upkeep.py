"""Upkeep: what must be done by the clock so that nothing breaks later, and findings for a person to see."""

from dataclasses import dataclass

from leadline.db import Transaction, fetch_one


@dataclass(frozen=True)
class AuditPartitions:
    """The months that were added, and whether rows lie outside every month (a finding: a month was missing)."""

    made: list[str]
    rows_without_month: bool


def make_audit_partitions(tx: Transaction) -> AuditPartitions:
    """Keeps the audit log's partitions three months ahead."""
    row = fetch_one(
        tx,
        """
        select make_audit_partitions() as made, pg_relation_size('lead_audit_log_default') > 0 as rows_without_month
        """,
        {},
    )
    return AuditPartitions(**row)
