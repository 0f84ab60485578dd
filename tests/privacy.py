"""What of a person could stand in a log, and whether it does."""

import re
from collections.abc import Iterable

# What differs from line to line and tells of nobody.
NOBODYS = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|"timestamp":"[^"]*"|"milliseconds":[0-9.]+')
NUMBER = re.compile(r"\+[1-9]\d{6,14}(?!\d)(?!:)")
ADDRESS = re.compile(r"[\w.]+@[\w.]+\.\w+")


def persons_in(logged: str, rows: Iterable[dict[str, object]]) -> set[str]:
    """Numbers, email addresses and whatever long text of these rows the log repeats."""
    # Thousands of lines differ in nothing else, and each is searched for thousands of values.
    kinds = "\n".join({NOBODYS.sub("", line) for line in logged.splitlines()})
    known = {str(value) for row in rows for value in row.values() if value and len(str(value)) > 7}
    found = {value for value in known if value in kinds}
    return found | set(NUMBER.findall(kinds.replace("+0000", ""))) | set(ADDRESS.findall(kinds))
