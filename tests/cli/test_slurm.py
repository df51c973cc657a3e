"""The batch script: Bash reads it, and each element of the array runs its part, whatever the names."""

import subprocess
import sys

import pytest

from kdistill.cli import slurm

ECHO = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]


def ran(text, element, folder):
    environment = {"PATH": "/usr/bin:/bin"} | ({} if element is None else {"SLURM_ARRAY_TASK_ID": str(element)})
    done = subprocess.run(
        ["bash", "-c", text], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("argument", ["mine.yaml", "a b.yaml", "it's $HOME;`id`.yaml"])
def test_elements_run_their_parts_and_the_last_job_gathers(argument, tmp_path):
    text = slurm.script("mine", str(tmp_path), [*ECHO, argument], parts=3, threads=2)
    assert ran(text, 0, "/") == ran(text, None, "/") == str([argument])
    assert ran(text, 2, "/") == str([argument, "--workers", "1", "--part", "2/3"])


def test_what_is_asked_of_slurm():
    text = slurm.script("mine", "/work", ["kdistill"], parts=3, threads=2)
    asked = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert asked == ["--job-name=mine", "--array=1-3", "--cpus-per-task=2", "--signal=B:TERM@120"]


def test_a_folder_that_is_not_there_ends_the_job(tmp_path):
    text = slurm.script("mine", str(tmp_path / "gone"), ["true"], parts=1, threads=1)
    assert subprocess.run(["bash", "-c", text], capture_output=True, timeout=300).returncode == 1
