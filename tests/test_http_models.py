"""The shelf of models over HTTP."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model.card_file import read_card
from model.shipped import SHIPPED
from service.http.keys import KeyStore
from service.http.principals import Principal, Scope
from service.model_shelf import ModelShelf
from service.records.database import Records, now
from service.records.tables import TrainedModel
from service.settings import Settings
from tests.served import served

MARK = "Zebedee-Marker"


@pytest.fixture
def settings(tmp_path: Path, random_model: Path) -> Settings:
    """A server with a good model in its folder and several that are none."""
    (tmp_path / "data").mkdir()
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(random_model, models / "good.safetensors")
    shutil.copy(random_model, models / "breast-idc.safetensors")  # a shipped one's name
    shutil.copy(random_model, models / "un safe.safetensors")
    (models / "cut.safetensors").write_bytes(random_model.read_bytes()[:-50])
    (models / "text.safetensors").write_text("no model")
    (models / "empty.safetensors").touch()
    (models / "folder.safetensors").mkdir()
    (models / "notes.txt").write_text("not looked at")
    return Settings(tmp_path / "data", tmp_path / "state", models=models)


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with served(settings) as client:
        yield client


def test_all_models_are_listed_with_their_cards(
    client: httpx.Client, random_model: Path, settings: Settings
) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()}
    assert sorted(models) == [
        *("breast-idc", "cut", "empty", "folder", "good", "text", "un safe"),
    ]
    shipped = models["breast-idc"]
    assert shipped["source"] == "shipped" and shipped["published"] and shipped["usable"]
    assert (shipped["mpp"], shipped["foreground"]) == (4.0, "tumour")
    assert shipped["card"]["intended_use"] and shipped["card"]["measures"]
    assert "patients" not in shipped["card"] and "patient_salt" not in shipped["card"]
    good = models["good"]
    assert good["source"] == "folder" and good["classes"] == ["other", "tumour"]
    from hashlib import sha256

    assert good["digest"] == sha256(random_model.read_bytes()).hexdigest()
    assert good["card"]["network"]["output_stride"] == 4
    for name in ("cut", "empty", "folder", "text", "un safe"):
        assert not models[name]["usable"] and models[name]["reason"]
        assert models[name]["digest"] is None and models[name]["card"] is None
        assert str(settings.models) not in json.dumps(models[name])
    assert client.get("/v1/models/cut").json() == models["cut"]
    assert client.get("/v1/models/good").json() == good


def test_the_folder_is_looked_at_anew(client: httpx.Client, settings: Settings) -> None:
    assert settings.models is not None
    path = settings.models / "text.safetensors"
    shutil.copy(settings.models / "good.safetensors", path)
    assert client.get("/v1/models/text").json()["usable"]
    path.unlink()
    assert client.get("/v1/models/text").status_code == 404


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fgood", "a" * 101, ".good", "un%20safe"])
def test_unknown_names(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_trained_model_is_its_groups_until_it_is_published(
    settings: Settings, random_model: Path
) -> None:
    records = Records(settings.database_url)
    records.migrate()
    keys = KeyStore(records)

    def key(scope: Scope, group: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {keys.create(f'{scope}', scope, group, 1)}"}

    ours, theirs, writer = (
        key(Scope.ADMIN, "red"),
        key(Scope.ADMIN, "blue"),
        key(Scope.WRITE, "red"),
    )
    settings.trained.mkdir(parents=True)
    shutil.copy(random_model, settings.trained / "ours.safetensors")
    with records.begin() as session:
        session.add(
            TrainedModel(
                name="ours",
                digest="0" * 64,
                group="red",
                job_id="1" * 32,
                created_at=now(),
                published_at=None,
            )
        )
    with served(settings) as client:
        seen = client.get("/v1/models/ours", headers=ours).json()
        assert seen["source"] == "trained" and not seen["published"]
        assert client.get("/v1/models/ours", headers=theirs).status_code == 404
        listed = client.get("/v1/models", headers=theirs).json()
        assert "ours" not in {model["name"] for model in listed}
        publish = "/v1/models/ours/publish"
        assert client.post(publish, headers=writer).status_code == 403
        assert client.post(publish, headers=theirs).status_code == 404
        for _ in range(2):
            assert client.post(publish, headers=ours).json()["published"]
        assert client.get("/v1/models/ours", headers=theirs).json()["usable"]
        refused = client.post("/v1/models/breast-idc/publish", headers=ours)
        assert refused.status_code == 409
    shelf = ModelShelf(settings, records)
    assert shelf.taken("ours") and shelf.taken("good") and shelf.taken("breast-idc")
    assert not shelf.taken("other")
    (settings.trained / "ours.safetensors").unlink()
    entry = shelf.entry(Principal("k", "n", "blue", Scope.READ, "key"), "ours")
    assert entry.reason == "its file is not there any more"
    records.close()


def test_the_server_computes_nothing_and_opens_no_slide() -> None:
    code = (
        "import sys, service.app;"
        "heavy = {'torch', 'openvino', 'matplotlib', 'openslide'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_a_card_is_a_page_that_tells_of_no_patient(
    client: httpx.Client, settings: Settings, random_model: Path
) -> None:
    answer = client.get("/v1/models/breast-idc/card.html")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy
    assert "Research use only" in answer.text and "20 trained on" in answer.text
    card = read_card(SHIPPED / "breast-idc.safetensors")
    hashes = [name for names in card.patients.values() for name in names]
    assert hashes and not [name for name in hashes if name in answer.text]
    assert client.get("/v1/models/good/card.html").status_code == 200
    assert client.get("/v1/models/cut/card.html").status_code == 422
    assert client.get("/v1/models/nobody/card.html").status_code == 404
