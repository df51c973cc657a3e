"""A batch script for Slurm, in which each element of an array job makes a part of the runs."""

import shlex
from collections.abc import Sequence

# Slurm's own limit for the length of an array is 1001, unless the cluster has another.
MOST_PARTS = 1000

TEMPLATE = """#!/bin/bash
# {count} of the runs of {name}, then what they say together. Save this as {name}.sh, then:
#
#   jobs=$(sbatch --parsable {name}.sh)
#   sbatch --dependency=afterany:$jobs --array=0 {name}.sh
#
# The folder that it works in, and --output-dir, have to be on a file system that all nodes share.
#SBATCH --job-name={name}
#SBATCH --array=1-{parts}
#SBATCH --cpus-per-task={threads}
#SBATCH --signal=B:TERM@120
# A part whose time is up stops with a checkpoint: submit the same script again to go on.

cd {folder} || exit 1
case "${{SLURM_ARRAY_TASK_ID:-0}}" in
0) exec {gather} ;;
*) exec {part} --part "$SLURM_ARRAY_TASK_ID/{parts}" ;;
esac
"""


def script(name: str, folder: str, command: Sequence[str], parts: int, threads: int) -> str:
    """Return the script.

    Args:
        name: of the experiment.
        folder: to work in.
        command: program and arguments, which make everything and say what came of it.
        parts: how many array elements share the work.
        threads: that one run takes.
    """
    return TEMPLATE.format(
        name=shlex.quote(name),
        folder=shlex.quote(folder),
        count=f"{parts} parts" if parts > 1 else "1 part",
        parts=parts,
        threads=threads,
        gather=shlex.join(command),
        part=shlex.join([*command, "--workers", "1"]),
    )
