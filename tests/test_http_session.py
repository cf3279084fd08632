"""Keys, and the browser sessions that they are exchanged for."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from annotations.errors import UsageError
from service.http import sessions
from service.http.keys import KeyStore
from service.http.principals import Scope
from service.http.recent import SECONDS_BELIEVED
from service.records.database import Records, now
from service.records.tables import BrowserSession, Key
from service.settings import Settings
from tests.served import served

LONGEST_AFTER_REVOKING = 2.0  # seconds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "slides").mkdir()
    return Settings(
        tmp_path / "slides", tmp_path / "state", require_key=True, cluster="nobody://nowhere"
    )


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """The server's database, as another process has it."""
    found = Records(settings.database_url)
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def browser(settings: Settings, records: Records) -> Iterator[httpx.Client]:
    with served(settings) as client:
        page = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        client.headers.update(page)
        yield client


def id_of(key: str) -> str:
    return key.split("_")[1]


def sign_in(browser: httpx.Client, key: str) -> str:
    """The Set-Cookie of a session, which the browser keeps."""
    answer = browser.post("/v1/session", json={"key": key})
    assert answer.status_code == 204, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.headers["set-cookie"]


class TestKeys:
    def test_a_key_is_told_once_and_kept_as_a_hash(self, records: Records) -> None:
        key = KeyStore(records).create("Anna", Scope.WRITE, "pathology")
        secret = key.split("_")[2]
        assert key.startswith("extent_") and len(secret) == 64
        with records.read() as session:
            row = session.get_one(Key, id_of(key))
            kept = [str(getattr(row, part.key)) for part in sa.inspect(Key).column_attrs]
        assert not any(secret in value for value in kept)

    def test_who_it_is(self, records: Records) -> None:
        store = KeyStore(records)
        key = store.create("Anna", Scope.WRITE, "pathology")
        found = store.principal(key)
        assert found is not None
        assert (found.key_id, found.name, found.group) == (id_of(key), "Anna", "pathology")
        assert (found.scope, found.via) == (Scope.WRITE, "key")
        wrong = (key[:-1] + ("0" if key[-1] != "0" else "1"), key + "0", "", "extent__", key[7:])
        assert not any(store.principal(token) for token in wrong)
        other = store.create("Ben", Scope.READ, "pathology")
        assert store.principal("_".join([*key.split("_")[:2], other.split("_")[2]])) is None

    @pytest.mark.parametrize(
        "values", [("", "g", 1), ("a\nb", "g", 1), ("a", "", 1), ("a", "g", 0), ("a", "g", -1)]
    )
    def test_what_cannot_be(self, records: Records, values: tuple[str, str, float]) -> None:
        name, group, days = values
        with pytest.raises(UsageError):
            KeyStore(records).create(name, Scope.READ, group, days)

    def test_listed_and_revoked(self, records: Records) -> None:
        store = KeyStore(records)
        keys = [store.create(name, Scope.READ, "g", 1) for name in ("Anna", "Ben")]
        assert [(entry.name, entry.state) for entry in store.entries()] == [
            ("Anna", "valid"),
            ("Ben", "valid"),
        ]
        assert store.revoke(id_of(keys[0])).state == "revoked"
        with records.begin() as session:
            session.execute(sa.update(Key).values(expires_at=now() - 1))
        assert [entry.state for entry in store.entries()] == ["revoked", "expired"]
        assert not any(KeyStore(records).principal(key) for key in keys)
        with pytest.raises(UsageError, match="no key of that id"):
            store.revoke("0" * 16)

    def test_revoking_elsewhere_ends_it_here_at_once(
        self, browser: httpx.Client, records: Records
    ) -> None:
        elsewhere = KeyStore(records)
        key = elsewhere.create("Anna", Scope.READ, "g")
        sign_in(browser, key)
        bearer = {"Authorization": f"Bearer {key}"}
        assert browser.get("/v1/session").json()["via"] == "cookie"
        assert browser.get("/v1/session", headers=bearer).json()["via"] == "key"
        elsewhere.revoke(id_of(key))
        revoked = asked = time.monotonic()
        statuses = {200}
        while 200 in statuses:
            assert asked - revoked < LONGEST_AFTER_REVOKING
            asked = time.monotonic()
            statuses = {
                browser.get("/v1/session", headers=headers).status_code for headers in (bearer, {})
            }
        assert statuses == {401}


class TestSessions:
    def test_a_key_becomes_a_cookie_that_scripts_cannot_read(
        self, browser: httpx.Client, records: Records
    ) -> None:
        key = KeyStore(records).create("Anna", Scope.WRITE, "g")
        cookie = sign_in(browser, key)
        parts = cookie.split("; ")
        assert parts[0].startswith("extent_session=")
        assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(parts)
        assert key.split("_")[2] not in cookie
        assert browser.get("/v1/session").json() == {
            "name": "Anna",
            "group": "g",
            "scope": "write",
            "via": "cookie",
        }

    def test_over_https_it_is_bound_to_this_host(
        self, settings: Settings, records: Records
    ) -> None:
        key = KeyStore(records).create("Anna", Scope.READ, "g")
        with served(replace(settings, https=True)) as client:
            cookie = sign_in(client, key)
            assert cookie.startswith("__Host-extent=")
            assert "Secure" in cookie and "Domain" not in cookie
            token = cookie.split(";")[0]
            assert client.get("/v1/session", headers={"Cookie": token}).status_code == 200
            plain = token.replace("__Host-extent", "extent_session")
            assert client.get("/v1/session", headers={"Cookie": plain}).status_code == 401
            origin = {"Cookie": token, "Origin": f"http://{client.base_url.netloc.decode()}"}
            assert client.delete("/v1/session", headers=origin).status_code == 403
            origin["Origin"] = origin["Origin"].replace("http:", "https:")
            assert client.delete("/v1/session", headers=origin).status_code == 204

    def test_a_cookie_is_not_a_key_nor_the_other_way_round(
        self, browser: httpx.Client, records: Records
    ) -> None:
        key = KeyStore(records).create("Anna", Scope.READ, "g")
        token = sign_in(browser, key).partition("=")[2].partition(";")[0]
        browser.cookies.clear()
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"extent_session={key}"},
            {"Cookie": f"extent_session={token[:-1]}"},
        ):
            assert browser.get("/v1/session", headers=headers).status_code == 401

    def test_writes_with_a_cookie_say_where_they_come_from(
        self, browser: httpx.Client, records: Records
    ) -> None:
        sign_in(browser, KeyStore(records).create("Anna", Scope.WRITE, "g"))
        bare = {"Cookie": "; ".join(f"{n}={v}" for n, v in browser.cookies.items())}
        for headers in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            answer = httpx.request(
                "DELETE", f"{browser.base_url}/v1/session", headers={**bare, **headers}
            )
            assert answer.status_code == 403
        assert browser.get("/v1/session").status_code == 200

    def test_signing_out(self, browser: httpx.Client, records: Records) -> None:
        cookie = sign_in(browser, KeyStore(records).create("Anna", Scope.READ, "g")).split(";")[0]
        gone = browser.delete("/v1/session")
        assert gone.status_code == 204 and "Max-Age=0" in gone.headers["set-cookie"]
        assert gone.headers["clear-site-data"] == '"cache"', "what the browser kept goes too"
        assert browser.get("/v1/session", headers={"Cookie": cookie}).status_code == 401

    def test_signing_in_again_ends_the_session_before(
        self, browser: httpx.Client, records: Records
    ) -> None:
        store = KeyStore(records)
        first = sign_in(browser, store.create("Anna", Scope.READ, "g")).split(";")[0]
        sign_in(browser, store.create("Ben", Scope.READ, "g"))
        assert browser.get("/v1/session").json()["name"] == "Ben"
        browser.cookies.clear()
        time.sleep(SECONDS_BELIEVED)
        assert browser.get("/v1/session", headers={"Cookie": first}).status_code == 401

    def test_an_old_cookie_is_replaced_while_requests_with_it_still_end(
        self, browser: httpx.Client, records: Records
    ) -> None:
        cookie = sign_in(browser, KeyStore(records).create("Anna", Scope.READ, "g")).split(";")[0]
        assert "set-cookie" not in browser.get("/v1/session").headers
        with records.begin() as session:
            longer_ago = now() - sessions.SECONDS_BEFORE_ROTATION - 1
            session.execute(sa.update(BrowserSession).values(created_at=longer_ago))
        fresh = browser.get("/v1/session").headers["set-cookie"].split(";")[0]
        assert fresh != cookie
        for token in (fresh, cookie):
            answer = browser.get("/v1/session", headers={"Cookie": token})
            assert answer.status_code == 200 and "set-cookie" not in answer.headers
        with records.read() as session:
            left = sorted(
                row.expires_at - now() for row in session.scalars(sa.select(BrowserSession))
            )
        assert left[0] <= sessions.SECONDS_AFTER_ROTATION < left[1]

    def test_sessions_end_by_themselves_and_with_their_key(
        self, browser: httpx.Client, records: Records
    ) -> None:
        store = KeyStore(records)
        cookie = sign_in(browser, store.create("Anna", Scope.READ, "g", days=1 / 24))
        assert 3590 <= int(cookie.split("Max-Age=")[1].split(";")[0]) <= 3600
        with records.begin() as session:
            session.execute(sa.update(BrowserSession).values(expires_at=now() - 1))
        assert browser.get("/v1/session").status_code == 401
        sign_in(browser, store.create("Ben", Scope.READ, "g"))
        with records.read() as session:
            assert len(session.scalars(sa.select(BrowserSession)).all()) == 1

    def test_a_page_elsewhere_signs_nobody_in(
        self, browser: httpx.Client, records: Records
    ) -> None:
        key = KeyStore(records).create("Mallory", Scope.WRITE, "g")
        headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
        answer = browser.post("/v1/session", json={"key": key}, headers=headers)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
