"""The composition root: every object of the control plane is made here, in order, by hand.

``App`` lives as long as one set of connections to the engine. It keeps no state of its own that a
broker killed and started again would miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Protocol

from memphis.transport.connection import Connection
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.legacy import REQUESTS as LEGACY_REQUESTS
from memphis.wire.subjects import API_PREFIX, DEAD_LETTER_STREAM, GIVEN_UP_STREAM, REPORT_STREAM
from memphis_broker.api import edge
from memphis_broker.api.edge import Edge
from memphis_broker.config import Durability, Settings, StartupError
from memphis_broker.dead_letters import api as dead_letters_api
from memphis_broker.dead_letters.intake import Intake
from memphis_broker.dead_letters.recorder import Recorder
from memphis_broker.dead_letters.redrive import Redriver
from memphis_broker.dead_letters.service import DeadLetterService
from memphis_broker.dead_letters.store import DeadLetterStore
from memphis_broker.dead_letters.sweep import Sweeper
from memphis_broker.dead_letters.work import DeadLetterWork
from memphis_broker.engine.bulk import Bulk
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables
from memphis_broker.engine.endpoints import Client, Endpoints, FixedReplies
from memphis_broker.engine.messaging import ClientMessaging
from memphis_broker.engine.presence import Presence
from memphis_broker.engine.records import RecordStore
from memphis_broker.engine.streams import Streams
from memphis_broker.engine.work import WorkQueue
from memphis_broker.groups import api as groups_api
from memphis_broker.groups.service import GroupService, NoOtherMembers
from memphis_broker.legacy.calls import LegacyCalls
from memphis_broker.legacy.edge import LegacyEdge
from memphis_broker.legacy.ingest import Ingest
from memphis_broker.legacy.leaving import Leaving
from memphis_broker.legacy.members import Members
from memphis_broker.legacy.pushes import LegacyPushes
from memphis_broker.legacy.reports import Reports
from memphis_broker.legacy.work import SERVICE_NAME as LEGACY_SERVICE
from memphis_broker.legacy.work import LegacyWork
from memphis_broker.schemas import api as schemas_api
from memphis_broker.schemas.examination import Examiner
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations import api as stations_api
from memphis_broker.stations.lifecycle import Lifecycle
from memphis_broker.stations.news import StationNews
from memphis_broker.stations.schema_trial import SchemaTrial
from memphis_broker.stations.schema_users import StationsWithSchemas
from memphis_broker.stations.service import StationService
from memphis_broker.users import api as users_api
from memphis_broker.users.passwords import Passwords
from memphis_broker.users.service import UserService
from memphis_broker.users.store import BUCKET as USERS_BUCKET
from memphis_broker.users.store import UserStore

_REPLICAS_MAX: Final = 3
_STATIONS_BUCKET: Final = "memphis_stations"
_SCHEMAS_BUCKET: Final = "memphis_schema_heads"
_SCHEMA_CONTENTS_BUCKET: Final = "memphis_schema_contents"
_REDRIVES_BUCKET: Final = "memphis_redrives"
_LEGACY_MEMBERS_BUCKET: Final = "memphis_legacy_members"


class Connections(Protocol):
    """What the control plane needs of its connections to the engine."""

    @property
    def control(self) -> Client:
        """Inside the broker's own account: requests arrive here, and records are kept here."""

    @property
    def clients(self) -> Client:
        """Inside the clients' account: streams and consumers live here."""

    @property
    def bulk(self) -> Bulk:
        """For many messages at once, in the same account."""

    @property
    def presence(self) -> Presence:
        """Tells who is connected."""

    async def open_fast(self, name: str, doing: str) -> Connection:
        """One more connection in the clients' account, with the SDK's own transport."""

    @property
    def durability(self) -> Durability:
        """What a produced message's acknowledgement promises."""

    @property
    def decides_logins(self) -> bool:
        """Whether the engine asks the broker who may log in, and tells it who asks for what."""

    @property
    def cluster_size(self) -> int:
        """How many servers the engine has."""


class App:
    """The control plane on one engine. Call ``recover``, then ``start``, and ``stop`` at the end."""

    def __init__(self, connections: Connections, settings: Settings, passwords: Passwords) -> None:
        replicas = max(1, min(_REPLICAS_MAX, connections.cluster_size))
        self._station_records = RecordStore(connections.control, _STATIONS_BUCKET, replicas)
        schema_heads = RecordStore(connections.control, _SCHEMAS_BUCKET, replicas)
        schema_contents = RecordStore(connections.control, _SCHEMA_CONTENTS_BUCKET, replicas)
        self._replicas = replicas
        self._connections = connections
        streams = self._streams = Streams(connections.clients)
        durables = Durables(connections.clients)
        messaging = self._messaging = ClientMessaging(connections.clients)
        news = self._news = StationNews(messaging)

        self._lifecycle = Lifecycle(
            self._station_records,
            streams,
            news,
            now=_now,
            acknowledge_early=connections.durability is Durability.FAST,
            # An engine that is our own child serves no other broker.
            alone=settings.engine is None,
        )
        examiner = Examiner()
        self._schemas = SchemaService(
            schema_heads,
            schema_contents,
            examiner,
            StationsWithSchemas(self._lifecycle, news),
            _now,
        )
        stations = StationService(self._lifecycle, streams, durables, self._schemas)
        trial = SchemaTrial(stations, self._schemas, streams, examiner)

        given_up = WorkQueue(connections.clients, GIVEN_UP_STREAM, "intake")
        recorder = self._recorder = Recorder(stations, streams, durables, _now)
        intake = Intake(given_up, recorder)
        sweeper = Sweeper(stations, streams, durables, intake, connections.bulk, _now)
        members = self._members = self._members_of_others(settings)
        groups = GroupService(
            stations, streams, durables, messaging, sweeper.take_back, members or NoOtherMembers()
        )
        store = DeadLetterStore(streams, connections.bulk)
        intents = RecordStore(connections.control, _REDRIVES_BUCKET, replicas)
        redriver = Redriver(
            store, intents, stations, groups, self._schemas, examiner, connections.bulk, _now,
            sweeper.watch,
        )  # fmt: skip
        dead_letters = DeadLetterService(
            store, redriver, stations, self._schemas, examiner, streams
        )
        letters = WorkQueue(
            connections.clients, DEAD_LETTER_STREAM, "follower", without_payload=True
        )
        self._dead_letter_work = DeadLetterWork(
            settings, streams, replicas, given_up, letters, intents, redriver, intake, sweeper, store,
            stations,
        )  # fmt: skip

        self._users = UserStore(RecordStore(connections.control, USERS_BUCKET, replicas))
        users = UserService(self._users, passwords, _now)

        operations = [
            *stations_api.operations(stations, trial),
            *schemas_api.operations(self._schemas),
            *groups_api.operations(groups),
            *dead_letters_api.operations(dead_letters),
            *users_api.operations(users),
        ]
        native = Edge(operations, decides_logins=connections.decides_logins)
        self._endpoints = _endpoints(connections.control, native)
        self._legacy = members and self._legacy_edge(members, stations, groups)

    def _members_of_others(self, settings: Settings) -> Members | None:
        if not settings.legacy:
            return None
        records = RecordStore(self._connections.control, _LEGACY_MEMBERS_BUCKET, self._replicas)
        return Members(records, self._connections.presence)

    def _legacy_edge(
        self, members: Members, stations: StationService, groups: GroupService
    ) -> LegacyWork:
        """The edge for the original's SDKs."""
        leaving = Leaving(members, groups)
        calls = LegacyCalls(stations, groups, self._schemas, members, leaving)
        self._news.add(LegacyPushes(calls, self._messaging))
        queue = WorkQueue(self._connections.clients, REPORT_STREAM, "reports")
        endpoints = Endpoints(
            self._connections.control,
            LegacyEdge(calls).answer,
            # An SDK of the original asks again when it hears nothing, and only then.
            FixedReplies(busy=None, too_large=None),
            name=LEGACY_SERVICE,
            subjects={subject: subject.lstrip("$") for subject in LEGACY_REQUESTS},
        )

        async def connect() -> Connection:
            return await self._connections.open_fast("memphis-ingest", "passing messages on")

        return LegacyWork(
            self._streams, self._replicas, members, queue, Reports(queue, self._recorder), leaving,
            Ingest(connect), endpoints,
        )  # fmt: skip

    async def recover(self) -> None:
        """Make what the broker keeps its records in, and finish what a killed broker left undone.

        Raises:
            StartupError: The engine refuses, or does not answer.
        """
        with _startup("prepare its records"):
            # None of them needs another, and each waits for the engine's disk again and again.
            openings = [self._station_records.open, self._schemas.open, self._dead_letter_work.open]
            if self._legacy:
                openings.append(self._legacy.open)
            if self._connections.decides_logins:
                openings.append(self._users.open)
            await for_each(openings, lambda open_: open_())
            await self._lifecycle.recover()
            await self._schemas.recover()
            await self._dead_letter_work.recover()

    async def start(self) -> None:
        """Begin to answer requests.

        Raises:
            StartupError: The engine does not answer.
        """
        with _startup("serve requests"):
            await self._endpoints.start()
            if self._legacy:
                await self._legacy.start()
        self._dead_letter_work.start()

    async def stop(self) -> None:
        """Answer what was asked, and no more. Idempotent; also after a failed start."""
        # First: it ends at once, while requests may be waited for until the caller loses patience.
        await self._dead_letter_work.stop()
        if self._legacy:
            await self._legacy.stop()
        await self._endpoints.stop()

    def statistics(self) -> dict[str, int]:
        """How many requests run, wait, and were turned away."""
        return self._endpoints.statistics()


def _endpoints(control: Client, native: Edge) -> Endpoints:
    return Endpoints(
        control,
        native.answer,
        FixedReplies(
            busy=edge.refuse(
                ErrorCode.ENGINE_UNAVAILABLE, "the broker is busy; try again in a moment"
            ),
            too_large=edge.refuse(
                ErrorCode.ENGINE_REFUSED,
                "the reply is larger than the engine's largest message",
            ),
        ),
        name="memphis",
        subjects={
            subject: subject.removeprefix(f"{API_PREFIX}.").replace(".", "-")
            for subject in native.subjects
        },
        prefix=API_PREFIX,
    )


@contextmanager
def _startup(doing: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise StartupError(f"the broker cannot {doing}: {refusal.text}") from refusal


def _now() -> datetime:
    return datetime.now(UTC)
