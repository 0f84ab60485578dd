"""What a function's import costs a cold start: CPU time, in an interpreter that has imported nothing yet."""

import os
import statistics
import sys
from collections.abc import Iterator

from local.template import ROOT

RUNS = 7


def imports() -> Iterator[tuple[str, float]]:
    """By function: milliseconds of CPU to import its app.py, without those of the interpreter itself."""
    bare = _median("")
    for app in sorted((ROOT / "functions").glob("*/app.py")):
        name = app.parent.name
        yield name, _median(f"import functions.{name}.app") - bare


def _median(script: str) -> float:
    return statistics.median(_milliseconds(script) for _ in range(RUNS))


def _milliseconds(script: str) -> float:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'layers' / 'leadline'}:{ROOT}"}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", script], environment)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise ChildProcessError(f"could not run: {script}")
    return (used.ru_utime + used.ru_stime) * 1000
