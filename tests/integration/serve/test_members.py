"""Members of a group that share a connection: the engine lets each of them be counted."""

from __future__ import annotations

from typing import Any

from memphis_broker.testing import BrokerProcess
from tests.integration.serve.helpers import nats_client
from tests.oracle import settled
from tests.waiting import eventually

MEMBERS = 20
QUESTION = "$memphis.members.station.shared"


async def test_every_member_on_a_connection_can_answer(broker: BrokerProcess) -> None:
    """One question of the broker gets an answer per member, and nothing is refused."""
    config = (broker.data_dir / "engine" / "nats-server.conf").read_text()
    password = config.partition('user: "$streams", password: "')[2].partition('"')[0]
    refusals: list[Exception] = []
    answers: list[bytes] = []

    async def answer(message: Any) -> None:
        await message.respond(b"here")

    async def refused(error: Exception) -> None:
        refusals.append(error)

    async def count(message: Any) -> None:
        answers.append(message.data)

    async with (
        nats_client(
            broker.port, user="root", password="memphis", inbox_prefix="_INBOX.root.x",
            error_cb=refused,
        ) as members,
        nats_client(broker.port, user="$streams", password=password) as asker,
    ):  # fmt: skip
        for _ in range(MEMBERS):
            await members.subscribe(QUESTION, cb=answer)
        await settled(members)
        await asker.subscribe("_INBOX.$broker.answers", cb=count)
        await settled(asker)
        await asker.publish(QUESTION, b"", reply="_INBOX.$broker.answers")
        await eventually(lambda: len(answers) == MEMBERS or refusals)
        await settled(members)
    assert refusals == []
    assert answers == [b"here"] * MEMBERS
