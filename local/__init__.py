"""The whole product on one machine."""

import sys
from pathlib import Path

# What Lambda finds in /opt/python.
sys.path.insert(0, str(Path(__file__).parent.parent / "layers" / "leadline"))
