"""Properties of subjects: what one station or group uses can never be another's."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from memphis.wire import subjects
from memphis.wire.names import GroupName, StationName, UserName
from tests.names import NAMES

STATIONS = NAMES.map(StationName.parse)
GROUPS = NAMES.map(GroupName.parse)
PARTITIONS = st.integers(1, 10_000)
USERS = NAMES.filter(lambda name: len(name) <= 60).map(UserName.parse)
LITERAL = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")


def matches(pattern: str, subject: str) -> bool:
    """Whether the engine would deliver this subject to this pattern."""
    wanted, found = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(found) > index
        if index >= len(found) or token not in {"*", found[index]}:
            return False
    return len(wanted) == len(found)


@given(STATIONS, PARTITIONS, GROUPS)
def test_built_subjects_are_literal(station: StationName, partition: int, group: GroupName) -> None:
    """No name makes a wildcard, a space or an empty token."""
    for built in (
        subjects.stream_name(station, partition),
        subjects.ingest_subject(station, partition),
        subjects.final_subject(station, partition),
        subjects.redrive_subject(station, partition, group, 7),
        subjects.pull_subject(station, partition, group),
        subjects.members_subject(station, group),
        subjects.updates_subject(station),
        subjects.dead_letter_subject("5f", partition, group, "poison"),
    ):
        assert LITERAL.fullmatch(built)


@given(STATIONS, PARTITIONS, GROUPS)
def test_a_stream_takes_its_own(station: StationName, partition: int, group: GroupName) -> None:
    """What is published, stored and given back is within the stream's subjects."""
    taken = subjects.stream_subjects(station, partition)
    assert matches(taken, subjects.ingest_subject(station, partition))
    assert matches(taken, subjects.final_subject(station, partition))
    given_back = subjects.redrive_subject(station, partition, group, 7)
    assert matches(taken, given_back)
    assert matches(subjects.redrives_filter(station, partition), given_back)
    assert matches(subjects.group_redrives_filter(station, partition, group), given_back)
    assert subjects.redrive_group(given_back) == group.internal
    assert not subjects.redrive_group(subjects.final_subject(station, partition))


@given(STATIONS, PARTITIONS, STATIONS, PARTITIONS)
def test_streams_never_overlap(
    station: StationName, partition: int, other: StationName, other_partition: int
) -> None:
    """Two partitions share a stream's name or subjects only if they are the same."""
    same = (station, partition) == (other, other_partition)
    one = subjects.stream_name(station, partition)
    assert (one == subjects.stream_name(other, other_partition)) == same
    ingest = subjects.ingest_subject(other, other_partition)
    assert matches(subjects.stream_subjects(station, partition), ingest) == same


@given(STATIONS, GROUPS, STATIONS, GROUPS)
def test_groups_never_share_a_subject(
    station: StationName, group: GroupName, other: StationName, other_group: GroupName
) -> None:
    """Members of one group are never taken for those of another, nor asked for its messages."""
    same = (station, group) == (other, other_group)
    for build in (subjects.members_subject, lambda s, g: subjects.pull_subject(s, 1, g)):
        assert (build(station, group) == build(other, other_group)) == same


@given(STATIONS, PARTITIONS, GROUPS)
def test_permissions_cover_what_clients_use(
    station: StationName, partition: int, group: GroupName
) -> None:
    """The patterns a user is given match every subject that the SDK builds for its stations."""
    assert matches(subjects.INGEST_ALL, subjects.ingest_subject(station, partition))
    assert matches(subjects.PULL_ALL, subjects.pull_subject(station, partition, group))
    assert matches(subjects.MEMBERS_ALL, subjects.members_subject(station, group))
    assert matches(subjects.UPDATES_ALL, subjects.updates_subject(station))
    assert not matches(subjects.INGEST_ALL, subjects.final_subject(station, partition))


@given(USERS, USERS)
def test_no_user_can_listen_to_the_inbox_of_another(user: UserName, other: UserName) -> None:
    """The wildcard below one user's inbox matches nothing below another's."""
    below = f"{subjects.inbox_prefix(user)}.>"
    assert matches(below, f"{subjects.inbox_prefix(other)}.reply.1") == (user == other)
