"""Reads template.yaml, the one truth for functions, routes, queues and schedules."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.plugins.globals.globals import GlobalProperties
from samtranslator.yaml_helper import yaml_parse

REGION, ACCOUNT = "us-east-1", "123456789012"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Template:
    """The Properties of each function, by the name of its folder, and of each queue, by its name."""

    functions: dict[str, dict[str, Any]]
    queues: dict[str, dict[str, Any]]


def read(path: Path, aws: str = "") -> Template:
    """The template at `path`, its intrinsics replaced in Environment, Events and queues; `aws` is the URL of SQS."""
    document = yaml_parse(path.read_text("utf-8"))
    known: dict[str, Any] = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
    known |= {name: parameter.get("Default") for name, parameter in document.get("Parameters", {}).items()}
    queues: dict[str, dict[str, Any]] = {}
    for logical_id, properties in _of_type(document, "AWS::SQS::Queue"):
        name = logical_id + (".fifo" if properties.get("FifoQueue") else "")
        queues[name] = properties
        known[logical_id] = f"{aws}/{ACCOUNT}/{name}"
        known[f"{logical_id}.Arn"] = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        known[f"{logical_id}.QueueName"] = name
    functions: dict[str, dict[str, Any]] = {}
    for _, own in _of_type(document, "AWS::Serverless::Function"):
        properties = GlobalProperties(document.get("Globals", {}).get("Function", {})).merge(own)
        replaced = {part: resolve(properties.get(part, {}), known) for part in ("Environment", "Events")}
        functions[Path(own["CodeUri"]).name] = {**properties, **replaced}
    return Template(functions, {name: resolve(properties, known) for name, properties in queues.items()})


def _of_type(document: dict[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    resources = document["Resources"].items()
    return [(name, resource.get("Properties", {})) for name, resource in resources if resource["Type"] == kind]


def resolve(value: Any, known: dict[str, Any]) -> Any:
    """The value with Ref, GetAtt ("Name.Attribute") and Sub replaced; other intrinsics are a ValueError.

    For what exists only in the cloud a Ref or GetAtt is None, and in a Sub it stays as written.
    """
    match value:
        case {"Ref": name}:
            value = known.get(name)
        case {"Fn::GetAtt": [name, attribute]}:
            value = known.get(f"{name}.{attribute}")
        case {"Fn::Sub": str(text)}:
            value = re.sub(r"\$\{([^!}]+)\}", lambda found: str(known.get(found[1]) or found[0]), text)
        case dict() if any(key.startswith("Fn::") for key in value):
            raise ValueError(f"the local suite understands Ref, GetAtt and plain Sub only, not {value}")
        case dict():
            value = {key: resolve(inner, known) for key, inner in value.items()}
        case list():
            value = [resolve(inner, known) for inner in value]
    return value
