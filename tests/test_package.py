"""What `make build` makes, run the way Lambda runs it: by the runtime client, with only boto3 and the zips around."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen
from zipfile import ZipFile

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat

from local import build, postgres, suite, template, tokens
from local.runtime import Lambda
from local.template import ROOT
from tests.test_architecture import KEPT_OUT

pytestmark = pytest.mark.package

ARM64, X86_64 = build.LAMBDA
FUNCTIONS = template.read(ROOT / "template.yaml").functions
MACHINES = {"arm64": ("aarch64", 0xB7), "x86_64": ("x86_64", 0x3E)}  # as wheels name and ELF numbers them
MAGIC_OF_313 = (3571).to_bytes(2, "little")  # what a .pyc of Python 3.13 begins with


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts for Lambda, in a folder of each architecture, and those for this machine."""
    out = tmp_path_factory.mktemp("made")
    for target in (*build.LAMBDA, build.HOST):
        build.build(target, out)
    return out


@pytest.fixture(scope="module")
def artefact(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's, unpacked: layer/ is /opt, functions/NAME is /var/task."""
    unpacked = tmp_path_factory.mktemp("artefact")
    for path in made.glob("host/**/*.zip"):
        with ZipFile(path) as archive:
            archive.extractall(unpacked / path.relative_to(made / "host").with_suffix(""))
    return unpacked


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter with the runtime client and boto3, as Lambda has them, and nothing else; kept from run to run."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pins = [pin for pin in groups["suite"] if re.match("(awslambdaric|boto3)==", pin)]
    content = json.dumps([sys.version, sys.base_prefix, pins]).encode()
    folder = build.OUT / f"runtime-{hashlib.sha256(content).hexdigest()[:12]}"
    python = str(folder / "bin" / "python")
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *pins], check=True)
        (folder / "installed").touch()
    return python


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where main() builds a layer that holds one small module and no wheels."""
    layer, out = tmp_path / "source", tmp_path / "out"
    (layer / "leadline").mkdir(parents=True)
    (layer / "leadline" / "__init__.py").write_text("")
    (layer / "requirements.txt").write_text("")
    monkeypatch.setattr(build, "LAYER", layer)
    monkeypatch.setattr(build, "OUT", out)
    monkeypatch.delenv("RDS_CA", raising=False)
    return out


def contents(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# Run ------------------------------------------------------------------------------------------------------------------


def test_the_artefact_makes_its_database_lets_a_customer_in_and_answers_them(
    artefact, python, server, scratch_database, tmp_path
):
    databases = {user: server.dsn(role, scratch_database) for role, user in postgres.ROLES.items()}
    layer = artefact / "layer" / "python"
    with suite.running(tmp_path, databases, root=artefact, layer=layer, python=python) as running:
        invoked = {name: function.invoke for name, function in running.functions.items()}
        done = invoked["migrate"]({"action": "up"})["done"]
        assert len(done) == len([*artefact.glob("functions/migrate/migrations/*.sql")]) // 2 > 0
        names = {"tenant": "Acme", "organization": "Acme Solar", "admin_subject": "ada"}
        customer = invoked["provision"](names)
        assert invoked["upkeep_daily"]({}) is None
        claims = {f"custom:{name}": customer[name] for name in ("tenant_id", "organization_id")}
        token = tokens.sign(tmp_path, {"sub": "ada", "custom:role": "admin", **claims})
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        new = Request(f"{running.url}/leads", b'{"phone_number": "(415) 555-0142"}', headers)  # noqa: S310 - ours
        with urlopen(new) as answer:  # noqa: S310
            assert (answer.status, json.load(answer)["phone_number"]) == (201, "+14155550142")
        for path, told in {"/health": b'{"status":"ok"}', "/openapi.json": b'"/leads"', "/docs": b"swagger"}.items():
            with urlopen(f"{running.url}{path}") as answer:  # noqa: S310
                assert (answer.status, told in answer.read().lower()) == (200, True), path


LOOK_AROUND = """
import importlib, importlib.util, pkgutil, sys

def handler(event, context):
    import leadline
    for module in pkgutil.walk_packages(leadline.__path__, "leadline."):
        importlib.import_module(module.name)
    for number, app in enumerate(event["apps"]):
        spec = importlib.util.spec_from_file_location(f"app_{number}", app)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return {
        "leadline": leadline.__file__,
        "loaded": sorted({module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)}),
        "path": sys.path,
        "found": [name for name in event["absent"] if importlib.util.find_spec(name)],
    }
"""


def test_every_module_and_function_imports_with_nothing_of_the_source_tree_around(artefact, python, tmp_path):
    (tmp_path / "app.py").write_text(LOOK_AROUND)
    layer = artefact / "layer" / "python"
    absent = ["local", "tests", "functions", "bench", "conftest", "moto", "pytest", "samtranslator"]
    function = Lambda(FUNCTIONS["leads_api"], tmp_path, layer, tmp_path / "logs", {}, python=python)
    try:
        apps = [str(path) for path in sorted(artefact.glob("functions/*/app.py"))]
        answer = function.invoke({"apps": apps, "absent": absent})
    finally:
        function.close()
    assert len(apps) == len(FUNCTIONS)
    assert answer["leadline"] == str(layer / "leadline" / "__init__.py")
    assert answer["found"] == []
    runtime = Path(python).parent.parent
    may_be_in = (artefact, tmp_path, runtime, Path(sys.base_prefix))
    for file in answer["loaded"]:
        assert any(Path(file).is_relative_to(folder) for folder in may_be_in), file
    for entry in map(Path, answer["path"]):
        assert not entry.is_relative_to(ROOT) or entry.is_relative_to(runtime), entry


@pytest.mark.parametrize("name", sorted(name for name in FUNCTIONS if name.endswith("_api")))
def test_an_api_function_of_the_artefact_starts_without_what_is_slow_to_import(artefact, python, name):
    clock = "import time; begun = time.process_time(); import app; spent = time.process_time() - begun"
    done = subprocess.run(
        [python, "-W", "error", "-c", f"{clock}; import sys; print(round(spent * 1000), *sys.modules)"],
        cwd=artefact / "functions" / name,
        env={"PYTHONPATH": str(artefact / "layer" / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds, *loaded = done.stdout.split()
    print(f"{name} is imported in {milliseconds} ms of CPU")  # noqa: T201 - shown by pytest -s
    assert set(loaded) & KEPT_OUT == set()


PHONES = """
import json, sys
from leadline import phone

def answer(spelling, region):
    try:
        return phone.normalise(spelling, region)
    except phone.BadPhone as refused:
        return refused.detail

json.dump([answer(*question) for question in json.load(sys.stdin)], sys.stdout)
"""


def test_the_layer_reads_phones_as_the_whole_library_does(artefact, python):
    """What build leaves out of phonenumbers changes no answer, in any region and for any type of number."""
    styles = (PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)
    questions: list[tuple[str, str]] = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            if example := phonenumbers.example_number_for_type(region, kind):
                spellings = [phonenumbers.format_number(example, style) for style in styles]
                spellings.append(spellings[0][:-1])
                questions += [(spelling, region) for spelling in spellings]
        questions += [(odd, region) for odd in ("112", "22333", "+", "0800 REPENT", "415 555 0142 x5", "+883510012345")]

    def answers(interpreter: str, layer: Path) -> list[str]:
        command = [interpreter, "-c", PHONES]
        environment = {"PYTHONPATH": str(layer)}
        done = subprocess.run(
            command, input=json.dumps(questions), env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    expected = answers(sys.executable, suite.LAYER)
    assert sum(answer.startswith("+") for answer in expected) > 2500
    assert len(set(expected)) > 1000
    assert answers(python, artefact / "layer" / "python") == expected


# Made for Lambda ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", build.LAMBDA, ids=lambda target: target.name)
def test_the_wheels_and_libraries_are_of_the_runtime_and_the_architecture(made, target):
    files = contents(made / target.name / "layer.zip")
    abi, (machine, number) = f"cp{target.python.replace('.', '')}", MACHINES[target.name]
    tags = re.findall(
        rb"^Tag: (\S+)$", b"\n".join(files[name] for name in files if name.endswith("WHEEL")), re.MULTILINE
    )
    compiled = [tag.decode() for tag in tags if not tag.endswith(b"-none-any")]
    assert len(compiled) >= 2  # psycopg and pydantic
    # cryptography's is built against the stable ABI, of that Python or an older one.
    fits = rf"(?:{abi}-{abi}|cp31[1-3]-abi3)-manylinux\w+_{machine}"
    assert all(re.fullmatch(fits, tag) for tag in compiled), compiled
    libraries = {name: content for name, content in files.items() if re.search(r"\.so(\.|$)", name)}
    assert any(name.startswith("python/psycopg_binary.libs/libpq") for name in libraries)
    for name, content in libraries.items():
        assert (content[:4], content[18]) == (b"\x7fELF", number), name
    assert {properties["Runtime"] for properties in FUNCTIONS.values()} == {f"python{target.python}"}


@pytest.mark.parametrize("target", build.LAMBDA, ids=lambda target: target.name)
def test_layer_and_any_function_are_small_enough_together(made, target):
    sizes = {path.stem: sum(map(len, contents(path).values())) for path in (made / target.name).rglob("*.zip")}
    assert sizes.keys() == {"layer", *FUNCTIONS}
    layer = sizes.pop("layer")
    assert layer + max(sizes.values()) <= 60_000_000
    assert layer > 10_000_000


def test_everything_is_compiled_for_the_runtime_if_there_is_one_to_compile_it(made):
    for path in (made / "arm64").rglob("*.zip"):
        files = contents(path)
        sources = [name for name in files if name.endswith(".py")]
        assert sources
        compiled = {name: content for name, content in files.items() if name.endswith(".pyc")}
        assert not [name for name in files if "__pycache__" in name and not name.endswith(".cpython-313.pyc")]
        assert len(compiled) == (len(sources) if build.find_python("3.13") else 0), path
        for name, content in compiled.items():
            assert (content[:2], content[4]) == (MAGIC_OF_313, 1), name  # 1: by hash, and not to be checked
    if build.find_python("3.13"):
        phone = contents(made / "arm64" / "layer.zip")["python/leadline/__pycache__/phone.cpython-313.pyc"]
        assert b"/opt/python/leadline/phone.py" in phone  # where tracebacks will look for it


def test_what_nothing_needs_is_left_out_and_what_links_point_to_is_in(made):
    layer = contents(made / "arm64" / "layer.zip")
    ballast = r"python/bin/|/tests/|\.pyi$|dist-info/(RECORD|INSTALLER|sboms)|phonenumbers/(geo|carrier)"
    assert [name for name in layer if re.search(ballast, name)] == []
    ours = {path.relative_to(suite.LAYER).as_posix() for path in (suite.LAYER / "leadline").rglob("*.py")}
    assert {f"python/{name}" for name in ours} <= layer.keys()
    assert {"python/phonenumbers/timezone.py", "python/tzdata/zoneinfo/America/New_York"} <= layer.keys()
    assert len([name for name in layer if re.fullmatch(r"python/psycopg-[\d.]+\.dist-info/METADATA", name)]) == 1
    migrate = contents(made / "arm64" / "functions" / "migrate.zip")
    for path in ROOT.glob("migrations/*.sql"):
        assert migrate[f"migrations/{path.name}"] == path.read_bytes()


def test_the_same_sources_make_the_same_bytes(made, tmp_path):
    build.build(ARM64, tmp_path)
    first = {path.relative_to(made): path.read_bytes() for path in (made / "arm64").rglob("*.zip")}
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.zip")} == first
    functions = (X86_64.name, "functions/leads_api.zip"), (ARM64.name, "functions/leads_api.zip")
    one, other = (made.joinpath(*parts).read_bytes() for parts in functions)
    assert one == other  # and so on another machine, which stages it elsewhere


# Told by make build ---------------------------------------------------------------------------------------------------


def test_the_template_beside_the_artefacts_names_them_and_their_architecture(toy):
    assert build.main() == 0
    for target in build.LAMBDA:
        path = toy / target.name / "template.yaml"
        functions = template.read(path).functions
        assert functions.keys() == {f"{name}.zip" for name in FUNCTIONS}
        for properties in functions.values():
            assert contents(path.parent / properties["CodeUri"]).keys() >= {"app.py"}
            assert properties["Architectures"] == [target.name]
        assert re.findall("ContentUri: (.+)", path.read_text()) == ["layer.zip"]
        assert re.findall("CompatibleArchitectures: (.+)", path.read_text()) == [f"[{target.name}]"]
        assert contents(path.parent / "layer.zip").keys() >= {"python/leadline/__init__.py"}


def test_what_is_too_large_fails_and_leaves_no_template_to_deploy(toy, monkeypatch, capsys):
    assert build.main() == 0
    monkeypatch.setattr(build, "LIMIT", 20_000)
    assert build.main() == 1
    told = capsys.readouterr()
    assert re.fullmatch(r"arm64: more than 0\.02 MB unzipped with the layer: (\w+, )*migrate(, \w+)*\n", told.err)
    assert re.search(r"^  migrate +\d\.\d{3} MB +\d\.\d{3} MB$", told.out, re.MULTILINE)
    assert not (toy / "arm64" / "template.yaml").exists()


@pytest.mark.usefixtures("toy")
def test_requirements_that_cannot_be_had_fail_by_name(capfd):
    (build.LAYER / "requirements.txt").write_text("leadline @ file:///nowhere/at/all.whl\n")
    assert build.main() == 1
    assert "arm64: pip could not install" in capfd.readouterr().err


def test_without_the_runtimes_python_nothing_is_compiled_and_it_says_so(toy, monkeypatch, capsys):
    monkeypatch.setattr(build, "find_python", lambda _: None)
    assert build.main() == 0
    assert "arm64, Python 3.13, not byte-compiled: this machine has no Python 3.13\n" in capsys.readouterr().out
    names = [name for path in toy.rglob("*.zip") for name in contents(path)]
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A python9.9 on the PATH that only complains."""
    (tmp_path / "python9.9").write_text("#!/bin/sh\necho 9.9 is not installed >&2\nexit 127\n")
    (tmp_path / "python9.9").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    yield
    build.find_python.cache_clear()


@pytest.mark.usefixtures("shim")
def test_an_interpreter_is_found_if_it_runs_and_is_of_that_version():
    assert build.find_python(build.HOST.python) == sys.executable
    assert build.find_python("9.9") is None


def test_the_certificates_are_in_the_layer_or_are_said_to_be_missing(toy, tmp_path, monkeypatch, capsys):
    assert build.main() == 0
    assert "The layer has no rds-ca.pem" in capsys.readouterr().out
    file = tmp_path / "bundle.pem"
    monkeypatch.setenv("RDS_CA", str(file))
    assert build.main() == 1
    file.write_text("<html>not found</html>")
    assert build.main() == 1
    assert capsys.readouterr().err == f"RDS_CA: no certificates in {file}\n" * 2
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    assert build.main() == 0
    assert "rds-ca.pem" not in capsys.readouterr().out
    for target in build.LAMBDA:
        assert contents(toy / target.name / "layer.zip")["rds-ca.pem"] == file.read_bytes()
