"""How a step goes out: by SMS or call through the call system, or by email, behind one small protocol."""

from leadline.nurture.channels.sending import live, send
from leadline.nurture.channels.shapes import Channel, GoneWrong, Outcome, Outgoing, Refused, Sent

__all__ = ["Channel", "GoneWrong", "Outcome", "Outgoing", "Refused", "Sent", "live", "send"]
