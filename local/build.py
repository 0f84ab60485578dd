"""Makes what is deployed, for each architecture: the layer, a zip of each function, and a template that names them.

    .build/arm64/template.yaml    .build/arm64/layer.zip    .build/arm64/functions/leads_api.zip ...

The same sources and wheels make the same bytes, so that a deploy changes only what has changed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from local import template
from local.template import ROOT

LAYER = ROOT / "layers" / "leadline"
OUT = ROOT / ".build"
# Of the layer and a function together, unzipped, in bytes: Lambda takes 250 MB, but what is large starts slowly.
LIMIT = 60_000_000
# Where a number is and whose it was, 20 MB that nothing asks for. An import of it fails at once, in test_package.py.
LEFT_OUT_OF_PHONENUMBERS = ("carrier.py", "carrierdata", "geocoder.py", "geodata")
# What pip and wheels leave that nothing reads at run time; METADATA holds the versions, WHEEL the tags.
LEFT_OUT = (
    *("bin", "*.dist-info/INSTALLER", "*.dist-info/RECORD", "*.dist-info/REQUESTED", "*.dist-info/sboms"),
    *("**/*.pyi", "**/tests", "**/__pycache__"),
    *(f"phonenumbers/{name}" for name in LEFT_OUT_OF_PHONENUMBERS),
)


class BuildError(Exception):
    """The artefacts cannot be made, or Lambda should not get them; the message is one line for a person."""


@dataclass(frozen=True)
class Target:
    """What the artefacts are to run on; `platforms` are those of wheels, and none of them means this machine."""

    name: str
    python: str
    platforms: tuple[str, ...] = ()


def _amazon_linux(name: str, machine: str) -> Target:
    kinds = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")  # Amazon Linux 2023 has glibc 2.34
    return Target(name, "3.13", tuple(f"{kind}_{machine}" for kind in kinds))


LAMBDA = (_amazon_linux("arm64", "aarch64"), _amazon_linux("x86_64", "x86_64"))
HOST = Target("host", f"{sys.version_info.major}.{sys.version_info.minor}")


def build(target: Target, out: Path, certificates: Path | None = None) -> None:
    """Make layer and functions of a target in `out`/NAME, and print their sizes. Raises BuildError.

    `certificates` becomes rds-ca.pem in the layer.
    """
    out /= target.name
    shutil.rmtree(out, ignore_errors=True)
    (out / "functions").mkdir(parents=True)
    python = find_python(target.python)
    how = f"byte-compiled by {python}" if python else f"not byte-compiled: this machine has no Python {target.python}"
    print(f"{target.name}, Python {target.python}, {how}\n{'':22}   unzipped     zipped")
    functions = template.read(ROOT / "template.yaml").functions
    with TemporaryDirectory() as folder:
        stage = Path(folder)
        _make_layer(target, stage / "layer", certificates)
        for name, properties in functions.items():
            leave_out = shutil.ignore_patterns("__pycache__", "tests")
            shutil.copytree(ROOT / properties["CodeUri"], stage / name, ignore=leave_out)  # what links point to, too
        if python:
            _compile(python, stage / "layer" / "python", "/opt/python")
            for name in functions:
                _compile(python, stage / name, "/var/task")
        layer = _zip(stage / "layer", out / "layer.zip")
        sizes = {name: _zip(stage / name, out / "functions" / f"{name}.zip") for name in functions}
    if large := [name for name, size in sizes.items() if layer + size > LIMIT]:
        raise BuildError(f"{target.name}: more than {LIMIT / 1e6:g} MB unzipped with the layer: {', '.join(large)}")


def _write_template(target: Target, out: Path) -> None:
    """Copy the template beside the artefacts: with their names, and for their architecture."""
    text = (ROOT / "template.yaml").read_text("utf-8")
    text = re.sub(r"^( +CodeUri: \S+)$", r"\1.zip", text, flags=re.MULTILINE)
    text = text.replace(f"ContentUri: .build/{LAMBDA[0].name}/", "ContentUri: ")
    text = text.replace(f"[{LAMBDA[0].name}]", f"[{target.name}]")
    (out / target.name / "template.yaml").write_text(text, "utf-8")


@cache
def find_python(version: str) -> str | None:
    """An interpreter of that version which runs: ours, the one on the PATH, or pyenv's."""
    of_pyenv = sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))
    show = "import sys; print('{}.{}'.format(*sys.version_info))"
    for python in (sys.executable, shutil.which(f"python{version}"), *of_pyenv):
        if python:
            shown = subprocess.run([python, "-c", show], capture_output=True, text=True, check=False)
            if shown.stdout.strip() == version:  # and not the complaint of a shim
                return python
    return None


def _make_layer(target: Target, layer: Path, certificates: Path | None) -> None:
    """/opt: our package and what it requires in python/, and the certificates."""
    packages = layer / "python"
    packages.mkdir(parents=True)
    platforms = [f"--platform={platform}" for platform in target.platforms]
    version = [f"--python-version={target.python}", "--implementation=cp"] if platforms else []
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    wheels = ["--only-binary=:all:", *platforms, *version, "--target", packages, "-r", LAYER / "requirements.txt"]
    if subprocess.run([*pip, *wheels], check=False).returncode:
        raise BuildError(f"{target.name}: pip could not install what {LAYER / 'requirements.txt'} lists")
    shutil.copytree(LAYER / "leadline", packages / "leadline")
    for pattern in LEFT_OUT:
        for path in list(packages.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if certificates:
        shutil.copyfile(certificates, layer / "rds-ca.pem")


def _compile(python: str, folder: Path, mounted: str) -> None:
    """Byte-compile a folder as it will be found at `mounted`; unchecked, since a zip keeps no usable times."""
    options = ["-q", "--invalidation-mode=unchecked-hash", "-s", folder, "-p", mounted]
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}  # the same bytes each time
    subprocess.run([python, "-m", "compileall", *options, folder], env=environment, check=True)


def _zip(folder: Path, path: Path) -> int:
    """Zip a folder with sorted names and a fixed time; print and answer the bytes it unzips to."""
    size = 0
    with ZipFile(path, "w") as archive:
        for file in sorted(_files(folder)):
            entry = ZipInfo(file.relative_to(folder).as_posix())  # of 1980
            entry.external_attr = 0o100755 << 16
            content = file.read_bytes()
            archive.writestr(entry, content, ZIP_DEFLATED, 9)
            size += len(content)
    print(f"  {path.stem:20} {size / 1e6:7.3f} MB {path.stat().st_size / 1e6:7.3f} MB")
    return size


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def main() -> int:
    """Builds for Lambda, with the certificates that RDS_CA names; the exit code is 1 if that cannot be deployed."""
    certificates = Path(os.environ["RDS_CA"]) if os.environ.get("RDS_CA") else None
    try:
        if certificates and (not certificates.is_file() or b"BEGIN CERTIFICATE" not in certificates.read_bytes()):
            raise BuildError(f"RDS_CA: no certificates in {certificates}")
        for target in LAMBDA:
            build(target, OUT, certificates)
            _write_template(target, OUT)  # last, so that what failed cannot be deployed
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if not certificates:
        print("The layer has no rds-ca.pem: `migrate` cannot connect with it in the cloud. Name the file of RDS's")
        print("certificates to have it in: make build RDS_CA=... (docs/deployment.md)")
    return 0
