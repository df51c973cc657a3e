"""The members of a teacher that is an ensemble: their names, and their seeds."""

import re

MOST_MEMBERS = 100
MEMBERS_OF_FILES = (
    "members are trained here, and files are named as teachers (distill.teachers, --teacher); set members to 1, and "
    "name each file of the ensemble"
)
# Each member is a run beside the first one: `teacher`, `teacher-2`, `teacher-3`, ...
NAME = re.compile(r"teacher-([2-9]|[1-9]\d+)")  # of all but the first
STRIDE, SEEDS = 1_000_000, 2**31  # between the seeds of two members, and how many seeds there are


def names(members: int) -> list[str]:
    """Return the names of the runs of a teacher's members."""
    return ["teacher", *(f"teacher-{number}" for number in range(2, members + 1))]


def number(name: str) -> int:
    """Return which member of a teacher a run is by its name, counted from 1; 1 for every other run."""
    found = NAME.fullmatch(name)
    return int(found[1]) if found else 1


def arm_of(name: str) -> str:
    """Return the arm of a run by its name, which of a teacher's further members is `teacher`."""
    return "teacher" if NAME.fullmatch(name) else name


def seed_of(seed: int, member: int) -> int:
    """Return the seed of a member, counted from 1, of the teacher of a seed: the first has the teacher's own."""
    return (seed + STRIDE * (member - 1)) % SEEDS


def seed_of_teacher(seed: int, member: int) -> int:
    """Return the seed of the teacher whose member has this seed: the inverse of `seed_of`."""
    return (seed - STRIDE * (member - 1)) % SEEDS
