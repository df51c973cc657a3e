"""The names and the seeds of a teacher's members."""

from kdistill.core import members


def test_names_are_those_of_runs_beside_the_first():
    assert members.names(1) == ["teacher"]
    assert members.names(3) == ["teacher", "teacher-2", "teacher-3"]
    assert [members.number(name) for name in members.names(members.MOST_MEMBERS)] == list(
        range(1, members.MOST_MEMBERS + 1)
    )
    for other in ("baseline", "teacher-1", "teacher-0", "teacher-02", "teacher-", "teachers-2", "teacher-2b", ""):
        assert members.number(other) == 1


def test_seeds_are_what_the_reference_says_and_stay_so():
    assert [members.seed_of(0, member) for member in (1, 2, 5)] == [0, 1_000_000, 4_000_000]
    assert members.seed_of(7, 3) == 2_000_007
    assert members.seed_of(2**31 - 1, 2) == 999_999  # after the largest seed of a config comes 0


def test_the_seeds_of_a_thousand_teachers_and_all_their_members_differ():
    for first in (0, 123_456, 2**31 - 1000):
        seeds = range(first, first + 1000)
        found = {members.seed_of(seed, member) for seed in seeds for member in range(1, members.MOST_MEMBERS + 1)}
        assert len(found) == 1000 * members.MOST_MEMBERS
        assert min(found) >= 0
        assert max(found) < 2**31


def test_the_seed_of_a_teacher_is_found_from_that_of_a_member():
    for seed in (0, 5, 2**31 - 1):
        for member in (1, 2, 99):
            assert members.seed_of_teacher(members.seed_of(seed, member), member) == seed
