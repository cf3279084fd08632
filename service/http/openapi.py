"""The OpenAPI document: what FastAPI makes of the routes, and what the gate adds to each."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..schemas import ProblemDocument
from .cookies import cookie_name
from .openings import OPEN
from .problems import MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
EVERYWHERE = {
    "400": "The request is not one that any route takes.",
    "421": "The server does not go by the name in Host.",
    "429": "Too many requests; Retry-After says when to go on.",
    "503": "The database, the disk or the cluster is away; Retry-After says when to ask again.",
}
WITH_A_KEY = {
    "401": "There is no key, or it is not good (any more).",
    "403": "The key's scope does not suffice, or another site's page asks.",
}
WITH_A_BODY = {
    "408": "The body did not come to its end.",
    "413": "The body is too large, or expands to what is.",
    "415": "The body is of another type than is taken here.",
    "422": "The body or a parameter is not what it must be.",
}
TAGS = {
    "slides": "What is under the data root, and uploads.",
    "uploads": "Resumable uploads (tus 1.0: creation, checksum, expiration, termination).",
    "outlines": "Experts' outlines, in versions.",
    "models": "What computes.",
    "jobs": "Maps: asked for, followed, cancelled.",
    "results": "What a finished job leaves.",
    "maps": "A job's map as deep-zoom tiles, while it is made and after.",
    "trainings": "New models from outlined slides.",
    "session": "A browser's session.",
    "audit": "Who did what.",
    "health": "Whether the server is well.",
}


def openapi_of(app: FastAPI, https: bool) -> dict[str, Any]:
    """The whole document; made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "`extent keys create`"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": cookie_name(https)},
    }
    schemas = components.setdefault("schemas", {})
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _complete(operation, is_open=(method.upper(), path) in OPEN)
    _even_tuples(document)
    app.openapi_schema = document
    return document


def _complete(operation: dict[str, Any], *, is_open: bool) -> None:
    """Add how a key is sent, and every refusal, as the problem document that it is."""
    operation["security"] = [] if is_open else [{"key": []}, {"cookie": []}]
    refusals = dict(EVERYWHERE)
    if not is_open:
        refusals |= WITH_A_KEY
    if "requestBody" in operation:
        refusals |= WITH_A_BODY
    responses: dict[str, Any] = operation["responses"]
    for status, description in refusals.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if status.startswith(("4", "5")) and not _answers_otherwise(response):
            response["description"] = refusals.get(status, response["description"])
            response["content"] = {MEDIA_TYPE: {"schema": PROBLEM}}


def _answers_otherwise(response: dict[str, Any]) -> bool:
    """Whether a refusal is a document of its own, as readiness is."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return name not in ("", "ProblemDocument", "HTTPValidationError")


def _even_tuples(node: Any) -> None:
    """Say "an array of two numbers" where Pydantic says "a number, then a number"."""
    if isinstance(node, list):
        for part in node:
            _even_tuples(part)
    elif isinstance(node, dict):
        kinds = node.get("prefixItems")
        if isinstance(kinds, list) and all(kind == kinds[0] for kind in kinds):
            node["items"] = node.pop("prefixItems")[0]
        for part in node.values():
            _even_tuples(part)
