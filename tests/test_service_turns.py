"""Whose turn it is."""

from pathlib import Path

from service.engine.attempt import Attempt
from service.jobs.turns import Turns
from service.records.tables import Job


def job(name: str, group: str, created_at: float = 0, crashes: int = 0) -> Job:
    return Job(
        id=name, group=group, created_at=created_at, crashes=crashes, kills=0, losses=0, attempt=1
    )


def begin(turns: Turns, job: Job) -> None:
    turns.begun(job, Attempt(job.id, 1, "map", Path(), {}, ()))


def heads(*jobs: Job) -> dict[str, Job]:
    return {job.group: job for job in jobs}


def test_the_oldest_job_is_first_among_equals() -> None:
    old, young = job("old", "a", 1), job("young", "b", 2)
    assert Turns().next(heads(young, old)) is old
    assert Turns().next({}) is None


def test_the_group_with_the_fewest_jobs_under_way_is_next() -> None:
    turns = Turns()
    begin(turns, job("1", "a"))
    assert turns.next(heads(job("2", "a", 1), job("3", "b", 9))) is not None
    assert turns.next(heads(job("2", "a", 1), late := job("3", "b", 9))) is late


def test_one_worker_serves_groups_by_turns() -> None:
    turns, served = Turns(), ""
    for number in range(6):
        chosen = turns.next(heads(job(f"a{number}", "a", 1), job(f"b{number}", "b", 2)))
        assert chosen is not None
        begin(turns, chosen)
        turns.ended(chosen.id, 1)
        served += chosen.group
    assert served == "ababab"


def test_a_suspect_runs_alone() -> None:
    turns = Turns()
    suspect, other = job("s", "a", 1, crashes=1), job("o", "b", 2)
    begin(turns, job("1", "a"))
    begin(turns, job("2", "b"))
    assert turns.next(heads(suspect)) is None
    turns.ended("1", 1)
    turns.ended("2", 1)
    assert turns.next(heads(suspect)) is suspect
    begin(turns, suspect)
    assert turns.next(heads(other)) is None
    turns.ended("s", 1)
    assert turns.next(heads(other)) is other


def test_the_end_of_an_attempt_that_is_not_under_way_changes_nothing() -> None:
    turns = Turns()
    begin(turns, job("1", "a"))
    turns.ended("1", 2)
    turns.ended("unknown", 1)
    assert set(turns.under_way) == {"1"}


def test_who_ended_a_worker_rests() -> None:
    turns = Turns()
    assert turns.resting == []
    turns.rest(job("1", "a", crashes=1))
    assert turns.resting == ["1"]
