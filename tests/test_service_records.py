"""The database: its tables and their steps, on SQLite and on a real PostgreSQL."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from annotations.errors import RecordsError, UsageError
from service.http.principals import LOCAL
from service.records.audit import audit
from service.records.belonging import check_belonging
from service.records.database import Records, new_id
from service.records.in_turn import InTurn, NotInTurn
from service.records.tables import Audit, Job, Table
from tests.conftest import REPOSITORY
from tests.patience import SECONDS, wait_for
from tests.postgres import Server, postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'extent.sqlite'}"
    server: Server = request.getfixturevalue("server")
    return server.new_database(new_id())


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    records = Records(url)
    yield records
    records.close()


def test_the_steps_lead_to_the_tables_that_the_code_knows(records: Records) -> None:
    records.migrate()
    with records.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        missing = compare_metadata(context, Table.metadata)
    assert not missing, f"a new step in service/records/migrations/versions must do: {missing}"


def test_a_database_that_is_up_to_date_stays_as_it_is(records: Records) -> None:
    records.migrate()
    with records.begin() as session:
        audit(session, LOCAL, "job submit", outcome="accepted")
    records.migrate()
    with records.read() as session:
        assert session.scalars(sa.select(Audit.action)).all() == ["job submit"]


def test_servers_that_start_at_once_do_not_collide(url: str) -> None:
    program = "import sys; from service.records.database import Records; Records(sys.argv[1])"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", f"{program}.migrate()", url],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said


def test_a_later_versions_database_is_refused(records: Records) -> None:
    records.migrate()
    with records.begin() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="later version"):
        records.migrate()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "extent.sqlite").write_text("no database at all, but long enough to look at" * 99)
    with pytest.raises(UsageError, match="cannot be used"):
        Records(f"sqlite:///{tmp_path / 'extent.sqlite'}").migrate()


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/extent", ""])
def test_urls_that_name_no_usable_database(url: str) -> None:
    with pytest.raises(UsageError, match="--database"):
        Records(url)


def a_job() -> Job:
    return Job(
        id=new_id(),
        kind="map",
        group="g",
        key_id="k",
        model="m",
        request={"region_level0": [0, 0, 1, 2]},
        state="queued",
        created_at=0.1,
    )


def test_values_come_back_as_they_went_in(records: Records) -> None:
    records.migrate()
    job = a_job()
    with records.begin() as session:
        session.add(job)
    with records.read() as session:
        found = session.get_one(Job, job.id)
    assert (found.request, found.created_at) == ({"region_level0": [0, 0, 1, 2]}, 0.1)
    assert (found.revision, found.attempt, found.outcome) == (1, 0, None)


def test_a_transaction_that_fails_leaves_nothing(records: Records) -> None:
    records.migrate()
    with pytest.raises(ZeroDivisionError), records.begin() as session:
        session.add(a_job())
        session.flush()
        raise ZeroDivisionError
    with records.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0


def test_many_threads_write_at_once(records: Records) -> None:
    records.migrate()

    def write(_: int) -> None:
        with records.begin() as session:
            session.add(a_job())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(200)))
    with records.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 200


def test_a_server_that_went_away_is_our_error_and_comes_back(server: Server) -> None:
    records = Records(server.new_database(new_id()))
    records.migrate()
    with records.begin() as session:
        session.add(a_job())
    server.stop()
    try:
        with pytest.raises(RecordsError), records.begin() as session:
            session.add(a_job())
        with pytest.raises(RecordsError), records.read() as session:
            session.scalars(sa.select(Job)).all()
    finally:
        server.start()
    with records.read() as session:
        assert len(session.scalars(sa.select(Job)).all()) == 1
    records.close()


def test_a_database_and_a_state_folder_belong_together(records: Records, tmp_path: Path) -> None:
    records.migrate()
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
    for _ in range(2):
        check_belonging(records, own)
    with pytest.raises(UsageError, match="do not belong together"):
        check_belonging(records, other)
    moved = own.rename(tmp_path / "moved")
    check_belonging(records, moved)


def test_a_lock_is_passed_on_in_turn() -> None:
    lock, order = InTurn(), list[int]()

    def take(number: int) -> None:
        with lock.held(SECONDS):
            order.append(number)

    with lock.held(1):
        threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda before=number: lock.waiting > before)  # type: ignore[misc]
        with pytest.raises(NotInTurn), lock.held(0.01):
            pass
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    with lock.held(0):
        pass
