"""Who may what, from the routes themselves: a new route without a rule fails here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.app import create_app
from service.deps import Needs
from service.http.keys import KeyStore
from service.http.openings import OPEN
from service.http.principals import Scope
from service.records.database import Records, new_id, now
from service.records.tables import Job, SlideRecord, TrainedModel, Upload
from service.settings import Limits, Settings
from tests.patience import SECONDS
from tests.served import served

OFTEN = Limits(requests_per_minute=10**7, anonymous_per_minute=10**7)
REQUEST: dict[str, Any] = {
    "slide_name": "x.svs",
    "model_digest": "d" * 64,
    "mpp": None,
    "threshold": 0.5,
    "region_level0": None,
    "foreground_class": "tumour",
    "name": "m",
    "config": "demo",
    "cases": [],
    "foreground_label": "tumour",
}


@dataclass(frozen=True)
class Rule:
    """A route's method, template and the least scope that may use it; None for open ones."""

    method: str
    template: str
    scope: Scope | None

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def scopes_of(dependant: Dependant) -> Iterator[Scope]:
    for needed in dependant.dependencies:
        if isinstance(needed.call, Needs):
            yield needed.call.scope
        yield from scopes_of(needed)


def rules(app_settings: Settings) -> list[Rule]:
    """Every route of the app with its rule; fails for one that has none, or two."""
    found = []
    for route in create_app(app_settings).routes:
        assert isinstance(route, APIRoute), f"{route}: neither a rule nor a way to give it one"
        scopes = list(scopes_of(route.dependant))
        for method in route.methods or ():
            is_open = (method, route.path) in OPEN
            assert len(scopes) == (0 if is_open else 1), f"{method} {route.path}: no rule, or two"
            found.append(Rule(method, route.path, None if is_open else scopes[0]))
    return found


@dataclass(frozen=True)
class Askers:
    """Clients by who they are, and ids of what belongs to the group `ours`."""

    clients: dict[str, httpx.Client]
    ours: dict[str, str]

    def ask(self, who: str, rule: Rule) -> httpx.Response:
        """Use a route on what is ours, with a body that is no good to anybody."""
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda part: self.ours.get(part[1], "0"), rule.template)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Offset": "0"}
        if "uploads/" in path:
            headers |= {"Content-Type": "application/offset+octet-stream"}
            headers |= {"X-HTTP-Method-Override": "DELETE"}
        if rule.template.endswith("/uploads"):
            headers |= {"Upload-Metadata": "filename eC5zdnM="}
        return self.clients[who].request(rule.method, path, headers=headers)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "slides").mkdir()
    return Settings(
        tmp_path / "slides",
        tmp_path / "state",
        require_key=True,
        limits=OFTEN,
        cluster="nobody://nowhere",  # no job is begun
    )


@pytest.fixture
def askers(settings: Settings) -> Iterator[Askers]:
    records = Records(settings.database_url)
    records.migrate()
    ours = _furnish(records)
    keys = KeyStore(records)
    tokens = {scope.word: keys.create(scope.word, scope, "ours") for scope in Scope}
    tokens["stranger"] = keys.create("stranger", Scope.ADMIN, "theirs")
    tokens["revoked"] = keys.create("revoked", Scope.ADMIN, "ours")
    keys.revoke(tokens["revoked"].split("_")[1])
    records.close()
    with served(settings) as nobody:
        clients = {"nobody": nobody}
        for who, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            clients[who] = httpx.Client(base_url=nobody.base_url, headers=headers, timeout=SECONDS)
        yield Askers(clients, ours)
        for client in clients.values():
            client.close()


def _furnish(records: Records) -> dict[str, str]:
    """An upload, a slide made of one, a finished job, a training and a private model of `ours`."""
    ids = {name: new_id() for name in ("slide_id", "job_id", "training_id", "upload_id")}
    ours = {"group": "ours", "key_id": "a" * 16, "created_at": now()}
    job = {"request": REQUEST, "state": "failed", "model": "m", "finished_at": now(), **ours}
    with records.begin() as session:
        session.add(
            SlideRecord(
                id=ids["slide_id"], kind="upload", path="x/x.svs", name="x.svs", bytes=1, **ours
            )
        )
        session.add(Job(id=ids["job_id"], kind="map", slide_id=ids["slide_id"], **job))
        session.add(Job(id=ids["training_id"], kind="training", **job))
        session.add(
            Upload(
                id=ids["upload_id"],
                name="x.svs",
                length=9,
                offset=0,
                state="receiving",
                expires_at=now() + 1e6,
                **ours,
            )
        )
        session.add(
            TrainedModel(
                name="private",
                digest="d" * 64,
                group="ours",
                job_id=ids["training_id"],
                created_at=now(),
                published_at=None,
            )
        )
    return {**ids, "name": "private"}


def test_every_route_has_a_rule(settings: Settings) -> None:
    found = rules(settings)
    assert len(found) > 40
    assert {(r.method, r.template) for r in found if r.scope is None} == OPEN


def test_who_may_what(settings: Settings, askers: Askers) -> None:
    wrong = []
    for rule in rules(settings):
        for who in ("nobody", "revoked", "read", "write", "admin"):
            try:
                status = askers.ask(who, rule).status_code
            except httpx.RemoteProtocolError as error:
                wrong.append(f"{rule} as {who}: {error}")
                continue
            if rule.scope is None:
                right = status not in (401, 403) or rule.template == "/v1/session"
            elif who in ("nobody", "revoked"):
                right = status == 401
            elif Scope[who.upper()] < rule.scope:
                right = status == 403
            else:
                right = status not in (401, 403) and status < 500
            if not right:
                wrong.append(f"{rule} as {who}: {status}")
    assert not wrong, "\n".join(wrong)


def test_another_groups_is_as_if_it_were_not_there(settings: Settings, askers: Askers) -> None:
    nowhere = Askers(askers.clients, {name: new_id() for name in askers.ours})
    wrong = []
    for rule in rules(settings):
        if "{" in rule.template and rule.scope is not None:
            ours, none = askers.ask("stranger", rule), nowhere.ask("stranger", rule)
            if ours.status_code not in (404, 422) or ours.content != none.content:
                wrong.append(f"{rule}: {ours.status_code} {ours.text[:80]} {none.text[:80]}")
    assert not wrong, "\n".join(wrong)


def test_lists_hold_nothing_of_another_group(settings: Settings, askers: Askers) -> None:
    for rule in rules(settings):
        if rule.method == "GET" and "{" not in rule.template and rule.scope is not None:
            text = askers.ask("stranger", rule).text
            for name, id_ in askers.ours.items():
                assert rule.template == "/v1/audit" or id_ not in text, f"{rule} tells {name}"


def test_refusals_need_no_body(askers: Askers) -> None:
    """Who may not is told so before anything of the request is looked at."""
    nobody = askers.clients["nobody"]
    answer = nobody.post("/v1/jobs", json={"no": "job"})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    answer = askers.clients["read"].post("/v1/jobs", json={"no": "job"})
    assert answer.status_code == 403
    assert Path(str(answer.url)).name == "jobs"
