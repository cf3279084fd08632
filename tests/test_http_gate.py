"""What every request passes, against a real server."""

import asyncio
import errno
import gzip
import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Scope_

from annotations import errors
from annotations.errors import (
    CheckpointError,
    ExtentError,
    RecordsError,
    ResolutionError,
    ResultError,
)
from service.http.bodies import IDLE_SECONDS, check_depth
from service.http.exchange import POLICY
from service.http.gate import Gate
from service.http.hosts import host_name
from service.http.identity import Identity
from service.http.keys import KeyStore
from service.http.limits import Rate, address_of
from service.http.principals import Scope
from service.http.problems import Problem, problem_of
from service.lifecycle import Lifecycle
from service.loopback import is_loopback
from service.records.database import Records
from service.services import Services
from service.settings import Limits, Settings
from tests.patience import wait_for
from tests.served import served

RARELY = 1  # a minute: once, and then not before the test is over
KEY_IN_URL = "extent_0123456789abcdef_" + "0" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "slides").mkdir()
    return Settings(tmp_path / "slides", tmp_path / "state", cluster="nobody://nowhere")


@pytest.fixture
def local(settings: Settings) -> Iterator[httpx.Client]:
    """A server on loopback that asks for no key."""
    with served(settings) as client:
        yield client


@contextmanager
def with_key(settings: Settings, scope: Scope = Scope.WRITE) -> Iterator[httpx.Client]:
    records = Records(settings.database_url)
    records.migrate()
    key = KeyStore(records).create("someone", scope, "group")
    records.close()
    with served(settings, key=key) as client:
        yield client


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and detail of what must be a whole problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document.keys() == {"type", "title", "status", "detail"}
    assert document["status"] == answer.status_code
    return answer.status_code, document["detail"]


class TestHosts:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:8000", "LOCALHOST.:1"])
    def test_loopback_has_its_names(self, local: httpx.Client, host: str) -> None:
        assert local.get("/v1/session", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]
    )
    def test_other_names_are_refused_even_there(self, local: httpx.Client, host: str) -> None:
        for path in ("/", "/v1/session", "/v2/health/live"):
            status, detail = refusal(local.get(path, headers={"Host": host}))
            assert status == 421 and "--allow-host" in detail

    def test_names_can_be_added(self, settings: Settings) -> None:
        named = replace(settings, hosts=("Lab.example",), host="192.0.2.7")
        with with_key(named) as client:
            for host, status in (("lab.example:8000", 200), ("192.0.2.7", 200), ("x.example", 421)):
                assert client.get("/v1/session", headers={"Host": host}).status_code == status

    def test_everywhere_is_no_name(self, settings: Settings) -> None:
        with with_key(replace(settings, host="0.0.0.0")) as client:
            assert client.get("/v1/session", headers={"Host": "0.0.0.0"}).status_code == 421

    @pytest.mark.parametrize(
        "headers", [b"", b"Host: \r\n", b"Host: localhost\r\nHost: evil.example\r\n"]
    )
    def test_a_host_is_given_once(self, local: httpx.Client, headers: bytes) -> None:
        with socket.create_connection((local.base_url.host, local.base_url.port or 80)) as raw:
            raw.sendall(b"GET /v1/session HTTP/1.1\r\n" + headers + b"\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400")

    def test_names_and_loopback(self) -> None:
        assert [host_name(h) for h in ("[::1]:80", "[::1", "A.b:1", "")] == ["::1", "", "a.b", ""]
        assert is_loopback("127.9.9.9") and is_loopback("::1") and is_loopback("localhost")
        assert not any(map(is_loopback, ("0.0.0.0", "::", "localhost.evil", "10.0.0.1", "")))


class TestWhoAsks:
    def test_loopback_needs_no_key(self, local: httpx.Client) -> None:
        assert local.get("/v1/session").json() == {
            "name": "local",
            "group": "local",
            "scope": "admin",
            "via": "loopback",
        }

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    def test_who_comes_through_a_proxy_needs_one(self, local: httpx.Client, header: str) -> None:
        status, detail = refusal(local.get("/v1/session", headers={header: "127.0.0.1"}))
        assert status == 401 and "Bearer" in detail

    def test_a_wrong_key_is_nobodys_even_on_loopback(self, local: httpx.Client) -> None:
        for key in ("Bearer nonsense", f"Bearer {KEY_IN_URL}", "Basic dTpw", "Bearer", "é"):
            answer = local.get("/v1/session", headers={b"Authorization": key.encode()})
            assert refusal(answer)[0] == 401
            assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("change", [{"host": "0.0.0.0"}, {"require_key": True}])
    def test_beyond_loopback_or_by_wish_a_key_is_needed(
        self, settings: Settings, change: dict[str, object]
    ) -> None:
        with with_key(replace(settings, **change)) as client:  # type: ignore[arg-type]
            assert client.get("/v1/session").json()["via"] == "key"
            del client.headers["Authorization"]
            for path in ("/v1/session", "/metrics", "/v1/openapi.json"):
                assert refusal(client.get(path))[0] == 401
            for path in ("/", "/v2/health/live", "/v2/health/ready"):
                assert client.get(path).status_code in (200, 503)

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/slides?key=x",
            "/v1/slides?a=b&API_KEY=x",
            f"/v1/slides?q={KEY_IN_URL}",
            f"/v1/slides?q={KEY_IN_URL.replace('_', '%5F')}",
            f"/v1/models/{KEY_IN_URL}",
        ],
    )
    def test_keys_do_not_belong_in_addresses(self, local: httpx.Client, path: str) -> None:
        status, detail = refusal(local.get(path))
        assert status == 400 and "revoke" in detail
        assert KEY_IN_URL not in detail

    def test_a_nul_is_refused(self, local: httpx.Client) -> None:
        assert refusal(local.get("/v1/slides?q=%00"))[0] == 400
        assert refusal(local.get("/v1/models/%00"))[0] == 400


class TestOrigin:
    """Other sites' pages, on loopback, where a browser needs neither key nor cookie."""

    def test_a_foreign_page_cannot_write(self, local: httpx.Client) -> None:
        for origin in ("http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"):
            answer = local.delete("/v1/session", headers={"Origin": origin})
            assert refusal(answer)[0] == 403, origin

    def test_nor_read(self, local: httpx.Client) -> None:
        for site in ("cross-site", "same-site"):
            for mode in ("no-cors", "cors"):
                headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
                assert refusal(local.get("/v1/session", headers=headers))[0] == 403

    def test_a_link_to_the_viewer_works(self, local: httpx.Client) -> None:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert local.get("/", headers=headers).status_code == 200

    def test_its_own_page_and_programs_can(self, local: httpx.Client) -> None:
        own = {"Origin": str(local.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        for headers in (own, {"Sec-Fetch-Site": "none"}, {}):
            assert local.delete("/v1/session", headers=headers).status_code == 204

    def test_a_key_is_proof_enough(self, settings: Settings) -> None:
        with with_key(replace(settings, require_key=True)) as client:
            answer = client.delete("/v1/session", headers={"Origin": "http://tool.example"})
            assert answer.status_code == 204

    def test_nobody_is_let_in_by_cors(self, local: httpx.Client) -> None:
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        for answer in (
            local.options("/v1/jobs", headers=headers),
            local.get("/v1/session", headers={"Origin": "http://evil.example"}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]


class TestBodies:
    def post(self, client: httpx.Client, body: object, **headers: str) -> httpx.Response:
        sent = {"Content-Type": "application/json", **headers}
        return client.post("/v1/session", content=body, headers=sent)  # type: ignore[arg-type]

    def test_json_is_asked_for(self, local: httpx.Client) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
            answer = local.post("/v1/session", content=b"{}", headers={"Content-Type": kind})
            assert refusal(answer)[0] == 415, kind
        assert refusal(self.post(local, b"{not json"))[0] == 400
        assert refusal(self.post(local, b'"\xff"'))[0] in (400, 422)

    def test_too_large_is_refused_declared_or_not(self, local: httpx.Client) -> None:
        most = Limits().body_bytes
        body = b'{"key": "' + b"x" * most + b'"}'
        assert refusal(self.post(local, body))[0] == 413
        pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        assert refusal(self.post(local, pieces))[0] == 413

    def test_gzip_is_undone(self, local: httpx.Client) -> None:
        body = gzip.compress(json.dumps({"key": "x"}).encode())
        assert refusal(self.post(local, body, **{"Content-Encoding": "gzip"}))[0] == 401

    def test_a_bomb_is_stopped(self, local: httpx.Client) -> None:
        bomb = gzip.compress(b" " * (100 << 20))
        status, _ = refusal(self.post(local, bomb, **{"Content-Encoding": "gzip"}))
        assert status == 413

    def test_a_streamed_bomb_is_stopped(self, settings: Settings) -> None:
        tight = replace(settings, limits=Limits(outline_bytes=1 << 20))
        with served(tight) as client:
            for size in (2 << 20, 1 << 20):
                answer = client.put(
                    f"/v1/slides/{'0' * 32}/outlines",
                    content=gzip.compress(b" " * size),
                    headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
                )
                assert refusal(answer)[0] in (404, 413)

    @pytest.mark.parametrize("damage", [slice(0, -9), slice(3, None)])
    def test_broken_gzip_is_refused(self, local: httpx.Client, damage: slice) -> None:
        body = gzip.compress(b'{"key": "x"}')[damage]
        assert refusal(self.post(local, body, **{"Content-Encoding": "gzip"}))[0] == 400

    def test_more_after_gzip_is_refused(self, local: httpx.Client) -> None:
        body = gzip.compress(b'{"key": "x"}') + gzip.compress(b" ")
        assert refusal(self.post(local, body, **{"Content-Encoding": "gzip"}))[0] == 400

    def test_other_encodings_are_refused(self, local: httpx.Client) -> None:
        for encoding in ("br", "gzip, gzip", "deflate"):
            answer = self.post(local, b"{}", **{"Content-Encoding": encoding})
            assert refusal(answer)[0] == 415

    @pytest.mark.parametrize("text", [b"[" * 33 + b"]" * 33, b'{"a":' * 40, b"[" * 10**4])
    def test_nesting_is_bounded(self, local: httpx.Client, text: bytes) -> None:
        assert refusal(self.post(local, text))[0] == 400

    def test_depth_is_of_brackets_beside_strings(self) -> None:
        check_depth(b'["[[[[", "\\"[[[", {"a}": "]"}]', 2)
        check_depth(b"[" * 32 + b"]" * 32, 32)
        check_depth(b'"\\" [[[', 2)
        for text in (b"[[[]]]", b"[[{}]]", b'{"a":{"b":[1]}}'):
            with pytest.raises(Problem) as refused:
                check_depth(text, 2)
            assert refused.value.status == 400

    @pytest.mark.parametrize("text", [b"[" * 10**6, b"[}" * 10**6, b"[]" * 10**6, b"[" * 10**5])
    def test_depth_takes_no_time(self, text: bytes) -> None:
        began = time.thread_time()
        with suppress(Problem):
            check_depth(text, 32)
        assert time.thread_time() - began < 0.1  # nobody else is answered meanwhile

    def test_only_a_list_of_slides_may_be_long(self, local: httpx.Client) -> None:
        sent = {f"field{number}": 1 for number in range(5_000)}
        for path, status in {"/v1/session": 413, "/v1/jobs": 413, "/v1/trainings": 422}.items():
            assert refusal(local.post(path, json=sent))[0] == status, path

    @pytest.mark.slow
    def test_a_body_that_drips_is_given_up(self, local: httpx.Client) -> None:
        def drip() -> Iterator[bytes]:
            began = time.monotonic()
            while time.monotonic() - began < 2 * IDLE_SECONDS:
                yield b" "
                time.sleep(IDLE_SECONDS / 10)

        with suppress(httpx.WriteError):
            assert refusal(self.post(local, drip()))[0] == 408
        assert local.get("/v2/health/live").status_code == 200

    def test_a_chunk_of_an_upload_is_never_compressed(self, local: httpx.Client) -> None:
        answer = local.patch(
            f"/v1/uploads/{'0' * 32}", content=b"x", headers={"Content-Encoding": "gzip"}
        )
        assert refusal(answer)[0] == 415


class TestRates:
    def test_a_key_that_asks_too_often_waits(self, settings: Settings) -> None:
        slow = replace(settings, require_key=True, limits=Limits(requests_per_minute=RARELY))
        with with_key(slow) as client:
            first, second = client.get("/v1/session"), client.get("/v1/session")
            assert (first.status_code, second.status_code) == (200, 429)
            assert int(second.headers["retry-after"]) >= 1
            assert client.get("/v2/health/live").status_code == 200  # that is another bucket

    def test_addresses_without_a_key_have_their_own(self, settings: Settings) -> None:
        slow = replace(settings, require_key=True, limits=Limits(anonymous_per_minute=RARELY))
        with with_key(slow) as client:
            statuses = [client.get("/v2/health/live").status_code for _ in range(2)]
            assert statuses == [200, 429]
            assert client.get("/v1/session").status_code == 200

    def test_wrong_keys_are_counted_harder_and_right_ones_spared(self, settings: Settings) -> None:
        slow = replace(settings, require_key=True, limits=Limits(failed_keys_per_minute=RARELY))
        with with_key(slow) as client:
            assert client.get("/v1/session").status_code == 200
            wrong = [client.post("/v1/session", json={"key": "x"}).status_code for _ in range(2)]
            assert wrong == [401, 429]
            assert client.get("/v1/session").status_code == 200

    def test_submissions_have_a_bucket_of_their_own(self, settings: Settings) -> None:
        slow = replace(settings, limits=Limits(submissions_per_minute=RARELY))
        with with_key(slow) as client:
            paths = ["/v1/jobs", "/v1/trainings", "/v1/jobs"]
            statuses = [client.post(path, json={}).status_code for path in paths]
            assert statuses == [422, 429, 429]
            assert client.get("/v1/jobs").status_code == 200

    def test_buckets_fill_again_and_are_bounded(self) -> None:
        now = [0.0]
        rate = Rate(60, most=2, clock=lambda: now[0])
        for _ in range(10):
            rate.take("a")
        with pytest.raises(Problem) as refused:
            rate.take("a")
        assert refused.value.status == 429 and refused.value.headers["Retry-After"] == "1"
        now[0] = 2.0
        rate.take("a")
        rate.take("a")
        with pytest.raises(Problem):
            rate.check("a")
        rate.take("b")
        rate.take("c")  # "a" is forgotten
        rate.take("a")

    def test_an_address_in_ipv6_is_its_network(self) -> None:
        assert address_of(("2001:db8::1", 1)) == address_of(("2001:db8::2", 2))
        assert address_of(("2001:db8:0:1::1", 1)) != address_of(("2001:db8::1", 1))
        assert address_of(("192.0.2.1", 1)) == "192.0.2.1" and address_of(None) == "unknown"


class TestAnswers:
    def test_headers_are_on_everything(self, local: httpx.Client) -> None:
        for path in ("/", "/v1/session", "/v1/nowhere", "/metrics", "/v1/slides?key=x"):
            headers = local.get(path).headers
            assert headers["content-security-policy"] == POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert len(headers["x-request-id"]) == 16
            assert "server" not in headers and "strict-transport-security" not in headers
            if path != "/":
                assert headers["cache-control"] == "no-store"

    def test_https_is_remembered(self, settings: Settings) -> None:
        with served(replace(settings, https=True)) as client:
            assert "strict-transport-security" in client.get("/").headers

    def test_what_is_nowhere_is_a_problem(self, local: httpx.Client) -> None:
        assert refusal(local.get("/v1/nowhere"))[0] == 404
        answer = local.put("/v1/session", json={})
        assert refusal(answer)[0] == 405
        assert answer.headers["allow"]

    def test_a_line_a_request_without_what_was_asked_for(
        self, local: httpx.Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "extent.requests")
        local.get("/v1/slides/../secret-path?q=secret-query", headers={"X-Request-Id": "mine"})
        answer = local.get(f"/v1/slides/{'a' * 32}")
        wait_for(lambda: len(caplog.records) >= 2)  # an answer is sent before its line is written
        lines = [record.getMessage() for record in caplog.records]
        assert lines[-1].startswith("GET /v1/slides/{slide_id} 404 ")
        assert lines[-1].endswith(f" ms key=local request={answer.headers['x-request-id']}")
        assert "secret" not in "".join(lines) and "mine" not in "".join(lines)

    def test_requests_are_counted_by_template(self, local: httpx.Client) -> None:
        for slide in ("a" * 32, "b" * 32):
            local.get(f"/v1/slides/{slide}")
        local.request("PROPFIND", "/v1/coffee")
        text = local.get("/metrics").text
        assert (
            'extent_requests_total{method="GET",route="/v1/slides/{slide_id}",status="404"} 2.0'
            in text
        )
        assert 'method="OTHER",route="-"' in text and "PROPFIND" not in text
        assert 'extent_jobs{state="queued"} 0.0' in text
        assert 'extent_request_seconds_bucket{le="0.1",method="GET"' in text


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (RecordsError("the database is away"), 503),
            (ResultError("/secret/path: full"), 503),
            (CheckpointError("/secret/path: no model"), 422),
            (ResolutionError("no resolution"), 422),
            (ExtentError("/secret/path"), 500),
        ],
    )
    def test_what_was_foreseen_is_a_problem_without_paths(
        self, error: ExtentError, status: int
    ) -> None:
        problem = problem_of(error)
        assert problem.status == status and "secret" not in problem.detail
        assert ("Retry-After" in problem.headers) == (status == 503)

    def test_every_error_has_a_status(self) -> None:
        kinds = {k for k in vars(errors).values() if isinstance(k, type)}
        assert all(problem_of(k("x")).detail for k in kinds if issubclass(k, ExtentError))

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (OSError(errno.ENOSPC, "full", "/secret/path"), 503),
            (OSError(errno.EIO, "broken", "/secret/path"), 500),
            (ValueError("/secret/path"), 500),
        ],
    )
    def test_what_was_not_is_logged_by_its_place_alone(
        self, settings: Settings, caplog: pytest.LogCaptureFixture, error: Exception, status: int
    ) -> None:
        async def fail(scope: Scope_, receive: Receive, send: Send) -> None:
            raise error

        sent = asyncio.run(_through_a_gate(fail, settings))
        assert sent[0]["status"] == status and b"secret" not in sent[1]["body"]
        fault = next(r.getMessage() for r in caplog.records if r.name == "extent.faults")
        assert "test_http_gate.py" in fault and "secret" not in caplog.text

    def test_an_answer_that_fails_midway_is_cut_off(self, settings: Settings) -> None:
        async def fail(scope: Scope_, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ValueError

        sent = asyncio.run(_through_a_gate(fail, settings))
        assert [message["type"] for message in sent] == ["http.response.start"]


async def _through_a_gate(app: ASGIApp, settings: Settings) -> list[Message]:
    """What a gate before `app` sends, asked for a page."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    services = Services.of(settings)
    gate = Gate(app, services, Identity(settings, services.keys), Lifecycle(services))
    request = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    await gate(request, nothing, keep)
    return sent
