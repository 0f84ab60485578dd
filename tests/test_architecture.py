"""The architecture as the tree shows it: who imports whom, how long things are, and where a thing may be done at all.

Each rule reads one module's syntax tree and answers the lines that break it; beside it stands code that does.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "layers" / "leadline" / "leadline"
FUNCTIONS = ROOT / "functions"

# The modules of the layer; each may import what stands in the rows above its own, and nothing imports api.
ROWS = [
    {"settings", "errors", "inputs", "metrics", "migration_files", "money", "periods"},
    {"migrations", "db", "events", "links", "pages", "phone", "sheets"},
    {"config", "idempotency", "provider_keys", "tenancy", "upkeep"},
    {"domain_events", "webhooks"},
    {"api"},
    {"budget", "hours"},
    {"dnc"},
    {"consent", "leads"},
    {"segments"},
    {"gate"},
    {"nurture"},
    {"calls"},
]
SEES_EVENTS = {"api", "events"}
# migrate also gives the other roles their passwords at deploy, as the owner.
CONNECTS = {"layers/leadline/leadline/db.py", "layers/leadline/leadline/migrations.py", "functions/migrate/app.py"}
# What a module may call while it is imported: declarations, and nothing that opens, reads or asks.
CALLED_AT_IMPORT = {
    *("Logger", "Metrics", "Api", "BatchProcessor", "logging.getLogger"),
    *("TypeVar", "Field", "field", "AfterValidator", "BeforeValidator", "StringConstraints", "ConfigDict"),
    "WithJsonSchema",
    *("frozenset", "int.from_bytes", "Order", "Source"),
    *("Path", "UUID", "Decimal", "timedelta", "re.compile", "sql.SQL"),
}
# Slow to import, and nothing an API function needs to answer: the first three cost 300 ms and more.
KEPT_OUT = {
    *("boto3", "botocore.client", "aws_xray_sdk", "email_validator", "httpx"),
    *("phonenumbers.geocoder", "phonenumbers.carrier", "phonenumbers.timezone"),
}

# 30 to 50 ms, for signatures and links alone.
SIGNATURES = "cryptography"
SEES_SIGNATURES = {"unsubscribe_api", "webhooks_api"}

LAYER_MODULES = sorted(LAYER.rglob("*.py"))
APPS = sorted(FUNCTIONS.glob("*/app.py"))
OURS = [*LAYER_MODULES, *APPS, *sorted((ROOT / "local").rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import with its line: "leadline.db" for `from leadline import db` and for `from leadline.db import ...`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = "." * node.level + (node.module or "")
            yield from (
                (node.lineno, f"{whole}.{alias.name}" if whole in ("leadline", "functions", "local") else whole)
                for alias in node.names
            )


# Rules ----------------------------------------------------------------------------------------------------------------


def imports_against_the_rows(tree: ast.AST, module: str) -> list[int]:
    (row,) = (number for number, row in enumerate(ROWS) if module in row)
    above = set().union(*ROWS[:row]) - {"api"}
    return [
        line
        for line, found in imports(tree)
        if found.split(".")[0] in ("leadline", "functions", "local", "tests", "")
        and not (found.startswith("leadline.") and found.split(".")[1] in above | {module})
    ]


def imports_of_a_function(tree: ast.AST) -> list[int]:
    return [line for line, found in imports(tree) if found.split(".")[0] in ("functions", "local", "tests", "")]


def long_functions(tree: ast.AST) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 45
    ]


def sights_of_an_event(tree: ast.AST) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.arg) and node.arg == "event") or (isinstance(node, ast.Name) and node.id == "event")
    ]


def connects_or_commits(tree: ast.AST) -> list[int]:
    by_method = {"connect", "commit", "rollback", "transaction", "pipeline"}
    by_statement = r"\s*(begin|start\s+transaction|commit|rollback|savepoint|set)\b"
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in by_method
            or (node.func.attr == "execute" and any(re.match(by_statement, text, re.I) for text in _texts(node)))
        )
    ]


def happens_at_import(tree: ast.Module) -> list[int]:
    quiet = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found: list[int] = []
    for node in _at_import(tree.body):
        if isinstance(node, quiet) or _is_guard(node):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
            loose = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            if not loose and all(_callee(call) in CALLED_AT_IMPORT for call in calls):
                continue
        found.append(node.lineno)
    return found


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those of its classes too."""
    for node in body:
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _at_import(node.body)


def _is_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def _callee(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def sql_put_together_from_text(tree: ast.AST) -> list[int]:
    """SQL as an f-string, by +, by %, by str.format or str.join: values and names go in by psycopg."""
    verbs = r"\s*(select|insert\s|update\s|delete\s+from|with\s|create\s|alter\s|drop\s|grant\s|revoke\s|truncate\s)"
    found: list[int] = []
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() | ast.BinOp(left=ast.Constant(value=str()), op=ast.Add() | ast.Mod()):
                parts = [node]
            case ast.Call(func=ast.Attribute(attr="format", value=ast.Constant(value=str()) as text)):
                parts = [text]
            case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value=str()))):
                parts = [part for argument in node.args for part in ast.walk(argument)]
            case _:
                continue
        if any(re.match(verbs, text, re.I) for part in parts for text in list(_texts(part))[:1]):
            found.append(node.lineno)
    return found


def catches_everything(tree: ast.AST) -> list[int]:
    everything = {"Exception", "BaseException"}
    found: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {ast.unparse(part) for part in ast.walk(node.type)} if node.type else everything
        elif isinstance(node, ast.Call) and _callee(node).endswith("suppress"):
            names = {ast.unparse(argument) for argument in node.args}
        else:
            continue
        if names & everything:
            found.append(node.lineno)
    return found


RULES: dict[Callable[[ast.Module], list[int]], str] = {
    imports_of_a_function: "from local import postgres",
    long_functions: "def f():\n" + "    x = 1\n" * 45,
    sights_of_an_event: "def f(event): ...",
    connects_or_commits: "def f(tx): tx.execute('  commit')",
    happens_at_import: "class A:\n    x: int = connect()",
    sql_put_together_from_text: "def f(tx, t): tx.execute(f'select * from {t}')",
    catches_everything: "try: ...\nexcept (ValueError, Exception): ...",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_what_breaks_it(rule) -> None:
    assert len(rule(ast.parse(RULES[rule]))) == 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (imports_of_a_function, "from . import other"),
        (imports_of_a_function, "def f():\n    import functions.leads_api"),
        (connects_or_commits, "def f(c): c.commit()"),
        (connects_or_commits, "import psycopg\ndef f(): psycopg.connect('')"),
        (connects_or_commits, "def f(c):\n    with c.transaction(): ..."),
        (happens_at_import, "for x in []: ..."),
        (happens_at_import, "print()"),
        (happens_at_import, "import boto3\nclient = boto3.client('sqs')"),
        (sql_put_together_from_text, "def f(t): return 'drop table ' + t"),
        (sql_put_together_from_text, "def f(t): return 'drop table %s' % t"),
        (sql_put_together_from_text, "def f(t): return 'drop table {}'.format(t)"),
        (sql_put_together_from_text, "def f(t): return ' '.join(('drop table', t))"),
        (catches_everything, "try: ...\nexcept: ..."),
        (catches_everything, "import contextlib\ndef f():\n    with contextlib.suppress(Exception): ..."),
    ],
)
def test_the_rule_sees_the_other_ways_too(rule, code) -> None:
    assert len(rule(ast.parse(code))) == 1


def test_the_rows_see_an_import_upwards() -> None:
    for module, code in [
        ("db", "from leadline.leads import Lead"),
        ("dnc", "from leadline import api"),
        ("settings", "from leadline import errors"),
        ("leads", "import functions.leads_api.app"),
        ("leads", "from .db import Caller"),
        ("leads", "import leadline"),
    ]:
        assert imports_against_the_rows(ast.parse(code), module) == [1], code
    assert imports_against_the_rows(ast.parse("from leadline import config, dnc"), "leads") == []


# The tree -------------------------------------------------------------------------------------------------------------


def broken(rule: Callable[[ast.Module], list[int]], paths: list[Path]) -> list[str]:
    return [f"{name(path)}:{line}" for path in paths for line in rule(ast.parse(path.read_text("utf-8")))]


def test_the_layer_imports_one_way() -> None:
    # A module that has become a folder keeps its name and its row.
    modules = {path: path.relative_to(LAYER).parts[0].removesuffix(".py") for path in LAYER_MODULES}
    assert set(modules.values()) - {"__init__"} == set().union(*ROWS)
    for path, module in modules.items():
        if module != "__init__":
            assert imports_against_the_rows(ast.parse(path.read_text("utf-8")), module) == [], name(path)


def test_a_function_imports_nothing_of_ours_but_the_layer() -> None:
    assert broken(imports_of_a_function, APPS) == []


def test_nothing_is_long() -> None:
    assert broken(long_functions, OURS) == []
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in [*LAYER_MODULES, *APPS]}
    limits = {path: 60 if path.startswith("functions/") else 400 for path in lengths}
    assert {path: lengths[path] for path in lengths if lengths[path] > limits[path]} == {}


def test_only_the_edge_sees_an_event() -> None:
    inside = [path for path in LAYER_MODULES if path.stem not in SEES_EVENTS]
    assert broken(sights_of_an_event, inside) == []


def test_only_the_two_doors_and_the_runner_connect_or_commit() -> None:
    inside = [path for path in [*LAYER_MODULES, *APPS] if name(path) not in CONNECTS]
    assert broken(connects_or_commits, inside) == []


def test_nothing_happens_at_import_but_declarations() -> None:
    assert (LAYER / "__init__.py").read_text() == ""
    assert broken(happens_at_import, [*LAYER_MODULES, *APPS]) == []


def test_no_sql_is_put_together_from_text() -> None:
    assert broken(sql_put_together_from_text, [*LAYER_MODULES, *APPS]) == []


def test_everything_is_caught_at_the_two_edges_only() -> None:
    found = broken(catches_everything, OURS)
    assert [place.partition(":")[0] for place in found] == [
        "layers/leadline/leadline/api.py",
        "layers/leadline/leadline/events.py",
    ]


def test_no_module_is_named_for_nothing() -> None:
    assert [name(path) for path in OURS if re.search("util|common|helper|manager|base", path.stem)] == []


def test_every_function_is_a_folder_with_one_handler() -> None:
    assert {path.name for path in FUNCTIONS.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        app.parent.name for app in APPS
    }
    for app in APPS:
        tree = ast.parse(app.read_text("utf-8"))
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assigned = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
        assert (defined + assigned).count("handler") == 1, name(app)


def test_every_sample_event_is_of_a_function_and_every_function_has_one() -> None:
    cases = sorted((ROOT / "events").rglob("*.json"))
    assert {path.relative_to(ROOT).parts[1] for path in cases} == {app.parent.name for app in APPS}
    assert all(len(path.relative_to(ROOT).parts) == 3 for path in cases)


@pytest.mark.parametrize(
    "app", [app for app in APPS if "leadline.api" in app.read_text()], ids=lambda app: app.parent.name
)
def test_an_api_function_starts_without_what_is_slow_to_import(app: Path) -> None:
    script = f"import sys, functions.{app.parent.name}.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": f"{LAYER.parent}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert f"functions.{app.parent.name}.app" in loaded
    assert loaded & KEPT_OUT == set()
    assert SIGNATURES not in loaded or app.parent.name in SEES_SIGNATURES
