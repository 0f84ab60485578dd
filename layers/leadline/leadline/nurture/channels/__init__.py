"""How a step goes out: by SMS or call through the call system, or by email, behind one small protocol."""

from leadline.nurture.channels.shapes import Channel, GoneWrong, Outcome, Outgoing, Refused, Sent
from leadline.nurture.channels.sending import LIVE, send

__all__ = ["LIVE", "Channel", "GoneWrong", "Outcome", "Outgoing", "Refused", "Sent", "send"]
