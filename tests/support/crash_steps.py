"""A program that dies at every single step of swapping in a folder, and of writing a run. No TensorFlow.

    python crash_steps.py FOLDER

A child process puts a file or folder in the place of another; then one writes a run: beginning, epochs with
checkpoints, model, result; first where there is nothing, then to replace a finished run of another config. It is ended,
as by SIGKILL, before or after its n-th call that changes what is on disk; then a new process goes on, as a user would
by giving the same command again. It prints how many deaths there were.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from kdistill.core import files
from kdistill.runs import Run, RunWriter, judge, tidy

SPEC, OLD = {"seed": 0, "name": "new"}, {"seed": 0, "name": "old"}
ABOUT, EPOCHS = {"threads": 1, "data": {"fingerprint": "f"}}, 3
STEPS = ("fsync", "replace", "mkdir", "unlink", "rmdir", "open")


def main(folder: Path) -> None:
    os.fsync = lambda descriptor: None  # slow, and a process that dies takes nothing from the kernel
    deaths = 0
    for kind in ("file", "folder"):
        for when in ("before", "after"):
            step = 0
            while died_putting(folder / f"{kind}-{when}-{step}", kind, when, step):
                deaths, step = deaths + 1, step + 1
    for replacing in (False, True):
        for when in ("before", "after"):
            step = 0
            while died(folder / f"{replacing}-{when}-{step}", replacing, when, step):
                deaths, step = deaths + 1, step + 1
    print(deaths)


def died_putting(folder: Path, kind: str, when: str, step: int) -> bool:
    """Return whether a child that is to die at this step of `files.put` came to it; check what it has left."""
    folder.mkdir()
    source, target, aside = (folder / name for name in (".new-it", "it", ".aside-it"))
    for path, content in ((source, "new"), (target, "old")):
        if kind == "folder":
            (path / "inner").mkdir(parents=True)
        for file in (path / "a", path / "inner" / "b") if kind == "folder" else (path,):
            file.write_text(content)
    status = in_a_child(step, when, lambda: files.put(source, target, aside))
    left = {path.name: content for path in (source, target, aside) if (content := whole(path))}
    if "it" not in left:  # between two renames
        assert (kind, left) == ("folder", {".new-it": "new", ".aside-it": "old"}), left
    elif status == 0:
        assert left == {"it": "new"}, left
        assert [path.name for path in folder.iterdir()] == ["it"]
    shutil.rmtree(folder)
    return status != 0


def whole(path: Path) -> str | None:
    """Return what all files of a file or folder say, if they are all there; the old one may be on its way out."""
    found = [path] if path.is_file() else [path / "a", path / "inner" / "b"]
    content = {file.read_text() if file.exists() else None for file in found}
    return content.pop() if len(content) == 1 else None


def in_a_child(step: int, when: str, do: Callable[[], object]) -> int:
    """Do something in a process that dies at a step; return its status, 0 if it did not come to that step."""
    child = os.fork()
    if child == 0:
        end_at(step, when)
        do()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, 9 << 8), status
    return status


def died(folder: Path, replacing: bool, when: str, step: int) -> bool:
    """Return whether a child that is to die at this step came to it; check that another goes on from there."""
    run = Run(folder / "seed-0" / "baseline", "baseline", 0)
    if replacing:
        work(run, OLD)
    status = in_a_child(step, when, lambda: work(run, SPEC))
    with run.locked():
        # Whatever happened, the old run is there whole, or the new one is.
        assert not replacing or judge(run).counts
    work(run, SPEC)
    check(run)
    shutil.rmtree(folder)
    return status != 0


def check(run: Run) -> None:
    assert judge(run).counts
    assert run.result["name"] == "new"
    assert [record["epoch"] for record in run.history()] == [1, 2, 3]
    left = [path for path in run.folder.parents[1].rglob(".*") if path.name != ".baseline.lock"]
    assert not left, left
    assert not run.checkpoints.exist()


def work(run: Run, spec: dict) -> None:
    """Train, as far as the disk is concerned: the state is a number, which grows by one in an epoch."""
    with run.locked():
        done = judge(run, spec).counts
    if done:
        tidy(run)
        return
    with run.locked():
        warnings = []
        writer = RunWriter(run, spec, ABOUT, warnings.append)
        assert not warnings, warnings
        done = 0
        if writer.checkpoint:
            done = int((writer.checkpoint.folder / "state.npz").read_text())
            assert done == writer.checkpoint.epochs
        assert [record["epoch"] for record in writer.history] == list(range(1, done + 1))
        for epoch in range(done + 1, EPOCHS + 1):
            writer.record({"epoch": epoch})
            writer.write_checkpoint(epoch, 0, lambda path, epoch=epoch: path.write_text(str(epoch)))
        writer.run.model_file.write_bytes(b"model")
        writer.finish({"name": spec["name"]})


def end_at(step: int, when: str) -> None:
    """Let this process die before or after its call number `step` of those that change the disk."""
    count = 0

    def patched(original):
        def call(*arguments, **keywords):
            nonlocal count
            count += 1
            if count == step + 1 and when == "before":
                os._exit(9)
            try:
                return original(*arguments, **keywords)
            finally:
                if count == step + 1:
                    os._exit(9)

        return call

    for name in STEPS:
        setattr(os, name, patched(getattr(os, name)))
    # These were bound before: for `shutil.rmtree`, to tell whether it may use folder descriptors.
    with contextlib.suppress(AttributeError):
        os.supports_dir_fd.update({os.open, os.unlink, os.rmdir, os.mkdir})
        os.supports_fd.add(os.listdir)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
