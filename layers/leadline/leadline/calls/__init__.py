"""Calls and texts, as the call system reports them through its queue."""

from leadline.calls.batches import take
from leadline.calls.messages import Message, adapter, organization, read

__all__ = ["Message", "adapter", "organization", "read", "take"]
