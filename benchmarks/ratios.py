"""What this SDK must reach, as ratios of two measurements of one run, and what it did reach."""

from __future__ import annotations

import statistics
from typing import Final, NamedTuple

from benchmarks.contenders import OURS
from benchmarks.figures import Measurement

AHEAD: Final = 1.0


class Goal(NamedTuple):
    """A ratio: our figure in ``row`` over theirs in ``their_row``."""

    what: str
    row: str
    rival: str
    wanted: float
    their_row: str = ""
    """Empty: the same row."""
    figure: str = "rate"

    @property
    def is_upper_limit(self) -> bool:
        """Whether less is better: so it is with a time."""
        return self.figure != "rate"


GOALS: Final = (
    Goal("nonblocking produce / memphis-py", "produce_nonblocking", "memphis_py", 12),
    Goal("nonblocking produce / nats-py publish_async", "produce_nonblocking", "nats_py", 4),
    Goal("nonblocking produce / raw socket", "produce_nonblocking", "raw_socket", 0.65),
    Goal("nonblocking produce / redis-py", "produce_nonblocking", "redis_py", AHEAD),
    Goal("fetch + ack / memphis-py", "fetch_ack", "memphis_py", 7),
    Goal("fetch + ack / nats-py", "fetch_ack", "nats_py", 5),
    Goal("fetch + ack / redis-py", "fetch_ack", "redis_py", AHEAD),
    Goal("fetch ahead + ack / redis-py fetch + ack", "fetch_ahead_ack", "redis_py", AHEAD, "fetch_ack"),
    Goal("consume with a handler / nats-py fetch + ack", "consume_handler", "nats_py", 5, "fetch_ack"),
    Goal("unsynced nonblocking produce / rstream", "produce_unsynced", "rstream", AHEAD),
    Goal("awaited produce / memphis-py", "produce_awaited", "memphis_py", 1.3),
    Goal("awaited produce / raw round trip", "produce_awaited", "raw_socket", 0.85),
    Goal("dicts, JSON schema / none", "produce_orders_checked", OURS, 0.7, "produce_orders"),
    Goal("JSON text, JSON schema / none", "produce_order_bytes_checked", OURS, 0.7, "produce_order_bytes"),
    Goal("end-to-end p50 / nats-py", "latency", "nats_py", 0.5, figure="p50_us"),
)  # fmt: skip


class Reached(NamedTuple):
    """A goal and what came of it: the ratio of the medians, and of the rounds the least and most.

    None where one side was not measured.
    """

    what: str
    wanted: float
    is_upper_limit: bool
    ratio: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether it is as wanted; None if it was not measured."""
        if self.ratio is None:
            return None
        return self.ratio <= self.wanted if self.is_upper_limit else self.ratio >= self.wanted


def reached_ratios(found: list[Measurement], size: int) -> list[Reached]:
    """Every goal, with what the measurements of this payload size say about it."""
    reached: list[Reached] = []
    for goal in GOALS:
        ours = _figures(found, size, goal.row, OURS, goal.figure)
        theirs = _figures(found, size, goal.their_row or goal.row, goal.rival, goal.figure)
        one = Reached(goal.what, goal.wanted, goal.is_upper_limit)
        if ours and theirs:
            # A round's two figures were measured within the same minutes.
            of_rounds = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            middle = statistics.median(ours) / statistics.median(theirs)
            one = one._replace(ratio=middle, least=min(of_rounds), most=max(of_rounds))
        reached.append(one)
    return reached


def _figures(
    found: list[Measurement], size: int, row: str, client: str, figure: str
) -> list[float]:
    return [
        one[figure]
        for one in found
        if (one["row"], one["client"], one["size"]) == (row, client, size)
    ]
