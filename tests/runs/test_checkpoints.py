"""Checkpoints: whole or not there, the last two kept, damage passed over."""

import pytest

from kdistill.core import files
from kdistill.runs.checkpoints import Cadence, Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def write(checkpoints, epochs, batches=0, owner="mine"):
    contents = {
        "state.npz": lambda path: path.write_text(f"state {epochs}"),
        "history.jsonl": lambda path: path.touch(),
    }
    checkpoints.write(owner, epochs, batches, contents)


def latest(checkpoints, owner="mine"):
    warnings = []
    return checkpoints.latest(owner, warnings.append), warnings


def test_the_newest_is_found_and_the_last_two_are_kept(checkpoints):
    assert latest(checkpoints) == (None, [])
    for epochs, batches in ((1, 0), (9, 0), (9, 300), (10, 0)):
        write(checkpoints, epochs, batches)
    found, warnings = latest(checkpoints)
    assert (found.epochs, found.batches, warnings) == (10, 0, [])
    assert (found.folder / "state.npz").read_text() == "state 10"
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["epoch-00009-batch-00000300", "epoch-00010-batch-00000000"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["state.npz", "checkpoint.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_one_is_passed_over_for_the_one_before_and_named(checkpoints, name, harm):
    write(checkpoints, 1)
    write(checkpoints, 2)
    path = checkpoints.folder / "epoch-00002-batch-00000000" / name
    {"flip": flip, "truncate": lambda p: p.write_bytes(b""), "remove": lambda p: p.unlink()}[harm](path)
    found, (warning,) = latest(checkpoints)
    assert found.epochs == 1
    assert "epoch-00002" in warning
    assert name in warning
    assert latest(checkpoints)[1] == []


def test_none_is_found_where_all_are_damaged(checkpoints):
    write(checkpoints, 1)
    write(checkpoints, 2)
    for path in checkpoints.folder.glob("*/state.npz"):
        flip(path)
    found, warnings = latest(checkpoints)
    assert found is None
    assert len(warnings) == 2


def test_one_of_another_run_or_other_data_is_not_taken(checkpoints):
    write(checkpoints, 1, owner="another")
    found, (warning,) = latest(checkpoints)
    assert found is None
    assert "other data or another config" in warning


def test_what_was_never_finished_is_swept(checkpoints):
    write(checkpoints, 1)
    orphan = files.temporary_for(checkpoints.folder / "epoch-00002-batch-00000000")
    orphan.mkdir()
    (orphan / "state.npz").write_text("half")
    assert latest(checkpoints)[0].epochs == 1
    assert not orphan.exists()


def test_a_writer_that_fails_leaves_those_before(checkpoints):
    def full(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    write(checkpoints, 1)
    with pytest.raises(OSError, match="No space"):
        checkpoints.write("mine", 2, 0, {"state.npz": full})
    assert latest(checkpoints)[0].epochs == 1
    assert len(list(checkpoints.folder.iterdir())) == 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_number_of_epochs_is_kept_to():
    cadence = Cadence(3)
    assert [epoch for epoch in range(1, 10) if cadence.due_after(epoch)] == [3, 6, 9]
    assert not cadence.due_within()


@pytest.mark.parametrize(("cost", "epoch"), [(0.01, 0.5), (0.5, 2.0), (0.001, 3.0)])
def test_auto_takes_at_most_a_fiftieth_of_the_time(cost, epoch):
    clock = Clock()
    cadence = Cadence("auto", clock)
    spent, made = 0.0, 0
    for number in range(1, 501):
        clock.now += epoch
        if cadence.due_after(number):
            with cadence.timed():
                clock.now += cost
            spent, made = spent + cost, made + 1
    assert made > 1
    assert spent <= 0.02 * clock.now + cost  # the first is made before its cost is known


def test_auto_makes_some_within_a_long_epoch_and_none_within_a_short_one():
    clock = Clock()
    cadence = Cadence("auto", clock)
    made = []
    for second in range(1, 100):
        clock.now = second
        if cadence.due_within():
            with cadence.timed():
                clock.now += 0.01
            made.append(second)
    assert made == [30, 61, 92]
