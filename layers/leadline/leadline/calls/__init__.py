"""Calls and texts, as the call system reports them through its queue."""

from leadline.calls.batches import take
from leadline.calls.messages import Message, adapter, organization, read
from leadline.calls.salvage import opt_out_in

__all__ = ["Message", "adapter", "opt_out_in", "organization", "read", "take"]
