"""Invoked by an operator: lets a customer in. Safe to run twice."""

from typing import Any

from leadline import provider_keys, tenancy
from leadline.db import system_transaction
from leadline.tenancy import NewCustomer


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """From the names and the admin's subject to the ids that the admin's token must carry."""
    del context
    new = NewCustomer.model_validate(event)
    with system_transaction() as tx:
        customer = tenancy.provide(tx, new)
        if new.own_numbers is not None:
            provider_keys.take_numbers(tx, new.own_numbers)
    return {name: str(value) for name, value in vars(customer).items()}
