"""What template.yaml promises: every function deployed, guarded, narrow in what it may do, and never silent."""

import json
import re
from functools import cache
from typing import Any

import pytest

from local.lint_template import TEMPLATE, expand

FUNCTIONS = TEMPLATE.parent / "functions"

# The routes that answer without a token.
PUBLIC_ROUTES = {
    ("GET", "/health"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/dashboard"),
    ("GET", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/{token}"),
    ("POST", "/webhooks/telnyx"),
    ("POST", "/webhooks/ses"),
}

# What SAM gives every function for its log, its trace and its network interface. They speak of every resource: for
# traces and interfaces AWS offers nothing narrower, and for logs only roles written by hand would.
AWS_POLICIES = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole",  # a worker's, to receive and delete
    "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
}


@cache
def expanded() -> dict[str, Any]:
    return expand(TEMPLATE)["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: found.get("Properties", {}) for name, found in expanded().items() if found["Type"] == kind}


def functions() -> dict[str, dict[str, Any]]:
    return of_type("AWS::Lambda::Function")


def folder(function: dict[str, Any]) -> str:
    return function["Code"]["S3Key"].removeprefix("functions/")


def variables(function: dict[str, Any]) -> dict[str, Any]:
    return function["Environment"]["Variables"]


def role(function: dict[str, Any]) -> dict[str, Any]:
    return expanded()[function["Role"]["Fn::GetAtt"][0]]["Properties"]


def own_statements(function: dict[str, Any]) -> list[dict[str, Any]]:
    """Every policy statement of a function's role that this template wrote."""
    documents = [policy["PolicyDocument"] for policy in role(function).get("Policies", [])]
    documents += [
        expanded()[policy["Ref"]]["Properties"]["PolicyDocument"]
        for policy in role(function)["ManagedPolicyArns"]
        if isinstance(policy, dict)
    ]
    return [statement for document in documents for statement in document["Statement"]]


def alarms_on(dimension: str, value: Any) -> list[str]:
    return [
        name
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
        if {"Name": dimension, "Value": value} in alarm.get("Dimensions", [])
    ]


def test_every_function_folder_is_deployed_and_nothing_else_is() -> None:
    assert {folder(function) for function in functions().values()} == {
        app.parent.name for app in FUNCTIONS.glob("*/app.py")
    }


def test_a_logical_id_is_the_folder_in_camel_case() -> None:
    for name, function in functions().items():
        assert name == "".join(word.capitalize() for word in folder(function).split("_"))


def test_only_the_public_routes_answer_without_a_token() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    for path, methods in api["Body"]["paths"].items():
        for method, operation in methods.items():
            public = (method.upper(), path) in PUBLIC_ROUTES
            assert operation["security"] == ([{"NONE": []}] if public else [{"Members": []}]), (method, path)


def test_the_authorizer_takes_tokens_of_our_own_client_only() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    authorizer = api["Body"]["components"]["securitySchemes"]["Members"]["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "jwt"
    assert authorizer["jwtConfiguration"] == {
        "issuer": {"Fn::GetAtt": ["UserPool", "ProviderURL"]},
        "audience": [{"Ref": "UserPoolClient"}],
    }


def test_no_app_client_may_write_what_the_token_says_of_a_member() -> None:
    for client in of_type("AWS::Cognito::UserPoolClient").values():
        assert client["WriteAttributes"], "without a list Cognito takes a default one"
        assert not [name for name in client["WriteAttributes"] if name.startswith("custom:")]
        assert {"custom:tenant_id", "custom:organization_id", "custom:role"} <= set(client["ReadAttributes"])


def test_no_policy_of_ours_reaches_every_resource() -> None:
    for name, function in functions().items():
        for statement in own_statements(function):
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            assert "*" not in resources, name
            assert "*" not in json.dumps(statement["Action"]), name
        assert {policy for policy in role(function)["ManagedPolicyArns"] if isinstance(policy, str)} <= AWS_POLICIES


def test_a_function_may_connect_as_the_role_in_its_database_url_and_as_no_other() -> None:
    for name, function in functions().items():
        user = re.search(r"^postgresql://(\w+)@", variables(function)["DATABASE_URL"]["Fn::Sub"])
        granted = [
            statement["Resource"]["Fn::Sub"][0].rpartition("/")[2]
            for statement in own_statements(function)
            if statement["Action"] == "rds-db:connect"
        ]
        assert user, name
        # migrate alone goes past the proxy to the instance, with passwords from Secrets Manager.
        assert granted == ([] if name == "Migrate" else [user[1]]), name


def test_only_migrate_reads_secrets() -> None:
    readers = {
        name
        for name, function in functions().items()
        if "secretsmanager" in json.dumps([statement["Action"] for statement in own_statements(function)])
    }
    assert readers == {"Migrate"}


def test_every_database_connection_verifies_the_server() -> None:
    for name, function in functions().items():
        assert "?sslmode=verify-full&sslrootcert=/" in variables(function)["DATABASE_URL"]["Fn::Sub"], name


def test_every_variable_a_function_reads_is_in_the_template() -> None:
    for name, function in functions().items():
        source = "".join(file.read_text("utf-8") for file in (FUNCTIONS / folder(function)).glob("*.py"))
        read = set(re.findall(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["'](\w+)["']""", source))
        assert read <= variables(function).keys(), name


def test_the_request_clock_never_reaches_the_cloud() -> None:
    assert "LEADLINE_REQUEST_CLOCK" not in TEMPLATE.read_text("utf-8")


def test_every_log_group_forgets() -> None:
    for name, group in of_type("AWS::Logs::LogGroup").items():
        assert group.get("RetentionInDays"), name


def test_every_function_logs_json_to_its_own_group() -> None:
    for name, function in functions().items():
        assert function["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": {"Ref": f"{name}Logs"}}
        group = expanded()[f"{name}Logs"]["Properties"]["LogGroupName"]["Fn::Sub"]
        assert group == "/leadline/${Stage}/" + folder(function)


def test_the_access_log_tells_nothing_of_a_person() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    logged = json.loads(stage["AccessLogSettings"]["Format"])
    for telling in ("path", "query", "sourceip", "useragent", "claims", "header"):
        assert telling not in json.dumps(logged).lower()


def test_the_database_log_repeats_no_row() -> None:
    (group,) = of_type("AWS::RDS::DBParameterGroup").values()
    assert group["Parameters"]["log_error_verbosity"] == "terse"
    assert group["Parameters"]["log_parameter_max_length"] == "0"
    assert group["Parameters"]["log_parameter_max_length_on_error"] == "0"
    assert "log_statement" not in group["Parameters"]


def test_the_database_is_encrypted_private_and_hard_to_lose() -> None:
    (database,) = of_type("AWS::RDS::DBInstance").values()
    (proxy,) = of_type("AWS::RDS::DBProxy").values()
    assert database["StorageEncrypted"]
    assert database["DeletionProtection"]
    assert not database["PubliclyAccessible"]
    assert expanded()["Database"]["DeletionPolicy"] == "Snapshot"
    assert proxy["RequireTLS"]
    assert {auth["IAMAuth"] for auth in proxy["Auth"]} == {"REQUIRED"}


def test_a_schedule_that_fails_leaves_its_event_in_a_dead_letter_queue() -> None:
    for name, schedule in of_type("AWS::Scheduler::Schedule").items():
        assert schedule["Target"]["DeadLetterConfig"]["Arn"], name
        function = schedule["Target"]["Arn"]["Fn::GetAtt"][0]
        # The schedule only hands over; what fails inside the function goes to the function's own.
        assert functions()[function]["DeadLetterConfig"]["TargetArn"], function


def test_every_queue_has_a_dead_letter_queue_and_every_dead_letter_queue_an_alarm() -> None:
    for name, queue in of_type("AWS::SQS::Queue").items():
        if name.endswith("DeadLetters"):
            assert alarms_on("QueueName", {"Fn::GetAtt": [name, "QueueName"]}), name
        else:
            target = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            assert target.endswith("DeadLetters"), name


def test_a_queue_that_falls_behind_raises_an_alarm() -> None:
    late = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "ApproximateAgeOfOldestMessage"
    }
    assert late == {name for name, queue in of_type("AWS::SQS::Queue").items() if "RedrivePolicy" in queue}


def test_every_alarm_reaches_a_person_and_says_what_to_do() -> None:
    runbook = (TEMPLATE.parent / "docs/deployment.md").read_text("utf-8")
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert f"| `{name}` |" in runbook, name


@pytest.mark.parametrize("limit", ["Timeout", "MemorySize"])
def test_every_function_has_limits(limit: str) -> None:
    assert all(function[limit] for function in functions().values())


def test_an_api_function_answers_before_the_gateway_gives_up() -> None:
    for name, function in functions().items():
        if name.endswith("Api"):
            assert function["Timeout"] < 30, name
