"""Lints template.yaml as written and as AWS will expand it, without the network: cfn-lint finds more in the second."""

import json
from pathlib import Path
from typing import Any

import boto3
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
REGION = "us-east-1"
IGNORED = {
    "I3011": "log groups, secrets and dead letters may go with the stack; Database and UserPool state their own policy",
    "W3691": 'its list of retired versions holds the bare "17", by which RDS takes its default of that major version',
}


def expand(template: Path) -> dict[str, Any]:
    """The plain CloudFormation that AWS makes of a SAM template.

    Raises samtranslator's InvalidDocumentException where AWS would refuse the template.
    """
    document = yaml_parse(template.read_text("utf-8"))
    for resource in document["Resources"].values():
        # `sam deploy` uploads local folders before AWS sees the template; any address will do here.
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][name] = f"s3://artefacts/{resource['Properties'][name]}"
    parameters = {name: parameter.get("Default", "") for name, parameter in document["Parameters"].items()}
    # AWS would be asked for its managed policies by name; the template names none, so an empty map answers.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    return translator.translate(document, parameters)


def main() -> int:
    """Prints what cfn-lint finds, informational rules included; the exit code is 1 if it found anything."""
    rules = ManualArgs(include_checks=["I"], ignore_checks=list(IGNORED), regions=[REGION])
    texts = {
        "template.yaml": TEMPLATE.read_text("utf-8"),
        "template.yaml, expanded": json.dumps(expand(TEMPLATE), indent=1),
    }
    findings = [
        f"{name}:{match.linenumber}: {match.rule.id} {match.message}"
        for name, text in texts.items()
        for match in lint(text, config=rules)
    ]
    print("\n".join(findings) or "template.yaml: clean, as written and as expanded")
    return 1 if findings else 0
