"""A batch script for Slurm: each element of an array job makes a part of the runs."""

import shlex
from collections.abc import Sequence

from kdistill.core.formatting import counted

# Slurm limits the length of an array to 1001 by default.
MOST_PARTS = 1000

TEMPLATE = """#!/bin/bash
# Makes the runs of {name} in {count}, then compares them. Save this as {name}.sh, then:
#
#   jobs=$(sbatch --parsable {name}.sh)
#   sbatch --dependency=afterany:$jobs --array=0 {name}.sh
#
# The working folder and --output-dir must be on a file system that all nodes share.
#SBATCH --job-name={name}
#SBATCH --array=1-{parts}
#SBATCH --cpus-per-task={threads}
#SBATCH --signal=B:TERM@120
# A part that reaches its time limit stops with a checkpoint: submit the same script again to resume.

cd {folder} || exit 1
case "${{SLURM_ARRAY_TASK_ID:-0}}" in
0) exec {gather} ;;
*) exec {part} --part "$SLURM_ARRAY_TASK_ID/{parts}" ;;
esac
"""


def script(name: str, folder: str, command: Sequence[str], parts: int, threads: int) -> str:
    """Return the script.

    Args:
        name: name of the experiment.
        folder: working folder of the jobs.
        command: program and arguments that make all runs and compare them.
        parts: number of array elements.
        threads: threads of one run.
    """
    return TEMPLATE.format(
        name=shlex.quote(name),
        folder=shlex.quote(folder),
        count=counted(parts, "part"),
        parts=parts,
        threads=threads,
        gather=shlex.join(command),
        part=shlex.join([*command, "--workers", "1"]),
    )
