"""The OpenAPI document is whole: every operation says what it takes, answers and refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.app import create_app
from service.http.openapi import TAGS
from service.http.openings import OPEN
from service.settings import Settings

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("openapi")
    return create_app(Settings(root / "slides", root / "state")).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    for name, operation in operations(document):
        assert operation["summary"], name
        assert set(operation["tags"]) <= set(TAGS) and operation["tags"], name


def test_every_operation_says_how_to_get_in_and_what_is_refused(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["key"]["scheme"] == "bearer" and schemes["cookie"]["in"] == "cookie"
    for name, operation in operations(document):
        method, path = name.split()
        refusals = {"400", "421", "429", "503"}
        if (method, path) in OPEN:
            assert operation["security"] == []
        else:
            assert operation["security"] == [{"key": []}, {"cookie": []}]
            refusals |= {"401", "403"}
        assert refusals <= set(operation["responses"]), name


def test_every_refusal_is_a_problem_document(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "4" and (name, status) != ("GET /v2/health/ready", "503"):
                assert list(response["content"]) == [PROBLEM], (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_answer_has_a_type(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if name.startswith("GET"):
            content = operation["responses"]["200"].get("content", {})
            assert content and all(kind.get("schema") != {} for kind in content.values()), name


def test_bodies_come_with_examples(document: dict[str, Any]) -> None:
    bodies = [
        schema
        for _, operation in operations(document)
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json" and "$ref" in (schema := content["schema"])
    ]
    assert len(bodies) >= 3
    for body in bodies:
        schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        if "examples" not in schema:
            for name, field in schema["properties"].items():
                assert "examples" in field or "default" in field, (schema["title"], name)
