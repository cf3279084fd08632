"""Whatever is sent to any route: no fault of the server, and no answer beside the document."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from service.http.keys import KeyStore
from service.http.principals import Scope
from service.records.database import Records
from service.settings import Limits, Settings
from tests.conftest import draw_slide, write_random_model
from tests.patience import SECONDS, wait_for
from tests.served import served

EXAMPLES = int(os.environ.get("EXTENT_FUZZ_EXAMPLES", "8"))
OFTEN = Limits(requests_per_minute=10**7, anonymous_per_minute=10**7, failed_keys_per_minute=10**7)
ANSWERS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
quick = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/offset+octet-stream")
def as_they_are(_: schemathesis.SerializationContext, content: Any) -> Any:
    return content if isinstance(content, bytes) else str(content).encode()


@dataclass(frozen=True)
class Api:
    """A server with a slide, a model and a job; `known`: their ids by path parameter."""

    schema: Any
    known: dict[str, str]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    root = tmp_path_factory.mktemp("fuzz")
    data, models = root / "slides", root / "models"
    data.mkdir()
    models.mkdir()
    draw_slide(data / "flat.png")
    write_random_model(models / "random.safetensors")
    settings = Settings(data, root / "state", models=models, require_key=True, limits=OFTEN)
    records = Records(settings.database_url)
    records.migrate()
    key = KeyStore(records).create("fuzz", Scope.ADMIN, "fuzz")
    records.close()
    with served(settings, key=key) as client:
        schema = schemathesis.openapi.from_dict(client.get("/v1/openapi.json").json())
        refusals = schema.config.checks.negative_data_rejection
        refusals.expected_statuses = [*refusals.expected_statuses, "412"]  # no Tus-Resumable
        schema.config.update(
            base_url=str(client.base_url), headers={"Authorization": f"Bearer {key}"}
        )
        yield Api(schema, _made(client))


def _made(client: httpx.Client) -> dict[str, str]:
    slide = client.get("/v1/slides").json()["items"][0]["id"]
    job = client.post("/v1/jobs", json={"slide": slide, "model": "random", "mpp": 1.0})
    assert job.status_code == 202, job.text
    job_id = job.json()["id"]
    wait_for(lambda: client.get(f"/v1/jobs/{job_id}").json()["finished_at"] is not None)
    return {"slide_id": slide, "job_id": job_id, "name": "random"}


def complaints(api: Api, mode: GenerationMode, checks: list[Any], *, known: bool) -> list[str]:
    """What is wrong with the answers to EXAMPLES requests to each operation."""
    found = []
    for result in api.schema.get_all_operations():
        operation = result.ok()

        @quick
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            for name in set(case.path_parameters or {}) & set(api.known) if known else ():
                case.path_parameters[name] = api.known[name]
            case.call_and_validate(checks=checks, timeout=SECONDS)

        try:
            ask()
        except Unsatisfiable:
            continue
        except (Exception, BaseExceptionGroup) as error:
            found.append(f"{operation.label}\n{error}")
    return found


def test_what_should_be_taken_is_answered_as_documented(api: Api) -> None:
    found = complaints(api, GenerationMode.POSITIVE, ANSWERS, known=False)
    assert not found, "\n\n".join(found)


def test_what_is_there_is_answered_as_documented(api: Api) -> None:
    found = complaints(api, GenerationMode.POSITIVE, ANSWERS, known=True)
    assert not found, "\n\n".join(found)


def test_what_should_not_be_taken_is_refused(api: Api) -> None:
    checks = [*ANSWERS, negative_data_rejection, unsupported_method]
    found = complaints(api, GenerationMode.NEGATIVE, checks, known=False)
    assert not found, "\n\n".join(found)
