"""The benchmark of making crops does not rot: both its tables come out, from a tiny training."""

from pathlib import Path

import pytest
import torch

from benchmarks.train_loader import PARTS, crop_costs, loadings, measure, parse
from model.cohort import read_cohort
from model.config import TrainConfig
from model.dataset import CropSampler, Loading, open_cases
from model.network_config import NetworkConfig
from tests.drawn import draw_patients

TINY = TrainConfig(
    network=NetworkConfig(widths=(8, 16, 16), convolutions=(1, 1, 1)), crop=128, batch=2
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_patients(tmp_path_factory.mktemp("cohort"), 2)


def test_both_tables_come_out(cohort: Path) -> None:
    asked = parse(["--steps", "2", "--rounds", "1", "--crops", "4", "--loading", "2+0,1+2"])
    shares, costs = measure(TINY, cohort, asked)
    assert [row[0] for row in shares.rows][1:4] == [
        "as the training makes them",
        "made on 2 threads, 0 batches ahead",
        "made on 1 threads, 2 batches ahead",
    ]
    assert all(float(milliseconds) > 0 for _, milliseconds, _ in shares.rows)
    assert costs.rows[-1][0] == "all"


def test_the_parts_of_a_crop_add_up_to_it(cohort: Path) -> None:
    sampler = CropSampler(open_cases(read_cohort(cohort).cases, TINY), TINY, seed=0)
    threads = torch.get_num_threads()
    rows = crop_costs(sampler, 40).rows
    assert torch.get_num_threads() == threads
    assert len(rows) == len(PARTS) + 2
    spent = [float(milliseconds) for _, milliseconds, _ in rows]
    assert sum(spent[:-1]) == pytest.approx(spent[-1], abs=0.05)


def test_the_own_way_always_takes_part() -> None:
    assert loadings("own") == [None]
    assert loadings("4+1") == [None, Loading(4, 1)]
