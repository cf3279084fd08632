"""Compiled models between processes: found by who kept them, and by nobody else's leave."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import UsageError
from model.checkpoint import Checkpoint, load_checkpoint
from model.compiled import SUFFIX, CompiledModels, InHand, Shelf
from model.openvino_predictor import OpenVinoPredictor, compiled_name
from model.predictor import Execution, is_compiled, ready_predictor, resolved

NAME, MADE = "0123-4567", b"a compiled model" * 1000
FP32 = Execution("cpu", "openvino", "fp32", 1)


@pytest.fixture
def shelf(tmp_path: Path) -> CompiledModels:
    made = CompiledModels(tmp_path / "extent" / "compiled")
    made.keep(NAME, MADE)
    assert made.find(NAME) == MADE
    return made


def file_of(shelf: CompiledModels, name: str = NAME) -> Path:
    return shelf.folder / (name + SUFFIX)


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        shelf = CompiledModels(tmp_path / "extent" / "compiled")
        shelf.keep(NAME, MADE)
    finally:
        os.umask(before)
    assert shelf.folder.stat().st_mode & 0o777 == 0o700
    assert file_of(shelf).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shelf.folder.iterdir()] == [NAME + SUFFIX]


def test_what_is_not_there_is_not_found(shelf: CompiledModels, tmp_path: Path) -> None:
    assert shelf.find("another") == b""
    assert CompiledModels(tmp_path / "nowhere").find(NAME) == b""


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o750, 0o777])
def test_a_folder_that_others_enter_is_left_alone(shelf: CompiledModels, mode: int) -> None:
    shelf.folder.chmod(mode)
    assert shelf.find(NAME) == b""
    shelf.keep("new", MADE)
    assert not file_of(shelf, "new").exists()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o644])
def test_a_file_that_others_open_is_left_alone(shelf: CompiledModels, mode: int) -> None:
    file_of(shelf).chmod(mode)
    assert shelf.find(NAME) == b""
    shelf.keep(NAME, MADE)
    assert shelf.find(NAME) == MADE, "it is not replaced"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("of", ["folder", "file"])
def test_what_is_somebody_elses_is_left_alone(shelf: CompiledModels, of: str) -> None:
    os.chown(shelf.folder if of == "folder" else file_of(shelf), 1234, 1234)
    assert shelf.find(NAME) == b""


def test_links_are_not_followed(shelf: CompiledModels, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(shelf.folder)
    assert CompiledModels(tmp_path / "link").find(NAME) == b""
    outside = file_of(shelf).rename(tmp_path / "outside")
    file_of(shelf).symlink_to(outside)
    assert shelf.find(NAME) == b""
    written = outside.read_bytes()
    shelf.keep(NAME, MADE[1:])
    assert shelf.find(NAME) == MADE[1:] and outside.read_bytes() == written


def test_a_pipe_keeps_nobody_waiting(shelf: CompiledModels) -> None:
    file_of(shelf).unlink()
    os.mkfifo(file_of(shelf), 0o600)
    assert shelf.find(NAME) == b""


def _torn(data: bytes) -> bytes:
    return data[:-1]


def _turned(data: bytes) -> bytes:
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


@pytest.mark.parametrize("spoil", [_torn, _turned, lambda data: b"", lambda data: MADE])
def test_spoilt_files_are_known(shelf: CompiledModels, spoil: Callable[[bytes], bytes]) -> None:
    file_of(shelf).write_bytes(spoil(file_of(shelf).read_bytes()))
    assert shelf.find(NAME) == b""


def test_a_file_under_another_name_is_known(shelf: CompiledModels) -> None:
    file_of(shelf).rename(file_of(shelf, "other"))
    assert shelf.find("other") == b""


def test_the_models_last_used_stay(tmp_path: Path) -> None:
    shelf = CompiledModels(tmp_path, most=3)
    tmp_path.chmod(0o700)
    for number, name in enumerate("abc"):
        shelf.keep(name, MADE)
        os.utime(file_of(shelf, name), (number, number))
    assert shelf.find("a") == MADE
    shelf.keep("d", MADE)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shelf = CompiledModels(tmp_path / "file" / "compiled")
    shelf.keep(NAME, MADE)
    assert shelf.find(NAME) == b""


@pytest.fixture(scope="module")
def checkpoint(random_model: Path) -> Checkpoint:
    return load_checkpoint(random_model)


def refuse() -> Checkpoint:
    raise AssertionError("it is loaded though it is there compiled")


def test_the_second_time_the_checkpoint_is_not_loaded(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    shelf = CompiledModels(tmp_path / "compiled")
    patches = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    assert not is_compiled(checkpoint.digest, FP32, shelf)
    first = ready_predictor(checkpoint.digest, FP32, shelf, lambda: checkpoint)(patches)
    assert is_compiled(checkpoint.digest, FP32, shelf)
    again = ready_predictor(checkpoint.digest, FP32, shelf, refuse)
    np.testing.assert_array_equal(again(patches), first)
    assert again.describe.endswith("cpu fp32")


@pytest.mark.parametrize("useless", [b"", b"no model", b"RR_UPCVO" * 100])
def test_what_is_of_no_use_is_compiled_anew(checkpoint: Checkpoint, useless: bytes) -> None:
    shelf = InHand(useless)
    predictor = ready_predictor(checkpoint.digest, FP32, shelf, lambda: checkpoint)
    assert predictor(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 2, 8, 8)
    assert OpenVinoPredictor.compiled_before(shelf.compiled, FP32) is not None


def test_names_say_what_was_compiled_and_how() -> None:
    digest = "ab" * 32
    ways = [FP32, Execution("cpu", "openvino", "bf16", 1), Execution("cpu", "openvino", "fp32", 2)]
    ways += [Execution("cpu", "openvino", "int8", 1)]
    names = {compiled_name(digest, way) for way in ways}
    assert len(names) == len(ways)
    assert all(name.startswith(digest) for name in names)
    assert compiled_name(digest, FP32) == compiled_name(digest, FP32)
    auto = Execution("cpu", "openvino", "auto", 1)
    assert compiled_name(digest, auto) not in names, "the card may make it int8"


def test_torch_compiles_nothing_to_keep(checkpoint: Checkpoint) -> None:
    execution, shelf = Execution("cpu", "torch", "fp32"), InHand()
    ready_predictor(checkpoint.digest, execution, shelf, lambda: checkpoint)
    assert not shelf.compiled and not is_compiled(checkpoint.digest, execution, shelf)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:", "cuda:x", "cudax", "cuda:-1", ""])
def test_devices_that_are_none_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        resolved(Execution(device=device))


def test_both_shelves_are_shelves(tmp_path: Path) -> None:
    shelves: list[Shelf] = [InHand(), CompiledModels(tmp_path)]
    assert all(shelf.find("nothing") == b"" for shelf in shelves)
