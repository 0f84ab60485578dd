"""The folder of migrations as it is read: pairs of scripts, numbered without a gap, each with its way back."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

ALONE = "-- leadline: no transaction"
CONCURRENTLY = re.compile(
    r"(create\s+(unique\s+)?index\s+concurrently\s+if\s+not|drop\s+index\s+concurrently\s+if)\s+exists\s+(?P<index>[\w.]+)",
    re.I,
)
ENDS_TRANSACTION = re.compile(r"^[ \t]*(begin|start +transaction|commit|rollback) *(work|transaction)? *;", re.I | re.M)


class MigrationError(Exception):
    """The migrations, the database or a script refuse; the message is one line for a person."""


@dataclass(frozen=True)
class Script:
    """One SQL file."""

    file: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def index(self) -> str | None:
        """The index that a script outside of transactions makes or drops; None for every other script."""
        if not self.text.startswith(ALONE):
            return None
        if match := CONCURRENTLY.match(re.sub(r"--.*", "", self.text).strip()):
            return match["index"]
        rule = "outside of a transaction goes one CREATE or DROP INDEX CONCURRENTLY IF [NOT] EXISTS, nothing else"
        raise MigrationError(f"{self.file}: {rule}")


@dataclass(frozen=True)
class Migration:
    """A pair of scripts: what applies a change and what reverts it."""

    name: str  # "001_foundation"
    up: Script
    down: Script


def read(directory: Path) -> list[Migration]:
    """The migrations of a folder: numbered 001, 002, ... without a gap, each with its way back."""
    scripts = {path.stem: Script(path.name, path.read_bytes().decode()) for path in sorted(directory.glob("*.sql"))}
    names = [stem for stem in scripts if not stem.endswith("_down")]
    if not names:
        raise MigrationError(f"no migrations in {directory}")
    for number, name in enumerate(names, start=1):
        if not re.fullmatch(rf"{number:03}_[a-z0-9_]+", name):
            raise MigrationError(f"{name}.sql stands where {number:03}_name.sql belongs: a gap, a double or a bad name")
        if f"{name}_down" not in scripts:
            raise MigrationError(f"{name}.sql has no {name}_down.sql")
    for stem, script in scripts.items():
        if stem.removesuffix("_down") not in scripts:
            raise MigrationError(f"{script.file} reverts nothing: there is no {stem.removesuffix('_down')}.sql")
        if ending := ENDS_TRANSACTION.search(script.text):
            line = script.text.count("\n", 0, ending.start()) + 1
            raise MigrationError(f"{script.file}, line {line}: the transaction is the runner's to begin and end")
    return [Migration(name, scripts[name], scripts[f"{name}_down"]) for name in names]
