"""Takes the reports of the original's SDKs: messages that failed a schema, or that nobody could process.

They are captured in a work-queue stream, so a broker that is down misses none. What cannot be understood is
set aside among the dead letters, where a person can see it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError

from memphis.exceptions import MemphisHeaderError
from memphis.wire import headers, legacy, subjects
from memphis.wire.models import SEQUENCE_MAX
from memphis.wire.names import GroupName, InvalidNameError, StationName
from memphis_broker.api.edge import describe_faults
from memphis_broker.dead_letters.piecework import Piecework
from memphis_broker.dead_letters.recorder import GivenUp, Recorder
from memphis_broker.engine.streams import StreamSpec
from memphis_broker.engine.work import Work, WorkQueue
from memphis_broker.legacy.requests import LegacyRequest, Text

_KEPT_S: Final = 7 * 24 * 3600
_KEPT_MAX: Final = 1_000_000


def _lowered(value: Any) -> Any:
    return legacy.lower_keys(value) if isinstance(value, dict) else value


class _Message(LegacyRequest):
    data: str = ""
    headers: dict[str, str] = Field(default_factory=dict)


class _Producer(LegacyRequest):
    name: str = ""


class _SchemaFailure(LegacyRequest):
    station_name: Text
    message: Annotated[_Message, BeforeValidator(_lowered)]
    producer: Annotated[_Producer, BeforeValidator(_lowered)] = _Producer()
    validation_error: str = ""


class _GivenUp(LegacyRequest):
    station_name: Text
    error: str = ""
    partition: Annotated[int, Field(ge=1, le=SEQUENCE_MAX)]
    cg_name: Text
    seq: Annotated[int, Field(ge=1, le=SEQUENCE_MAX)]


def stream(replicas: int) -> StreamSpec:
    """The stream that holds reports until a broker has read them."""
    return StreamSpec(
        name=subjects.REPORT_STREAM,
        subjects=legacy.REPORTS,
        replicas=replicas,
        until_done=True,
        age_max_s=_KEPT_S,
        messages_max=_KEPT_MAX,
    )


class Reports:
    """Takes reports from their queue. :meth:`step` is one round of work."""

    def __init__(self, work: WorkQueue, recorder: Recorder) -> None:
        self._recorder = recorder
        self._pieces = Piecework(work, self._see_to, recorder, "the report of an original SDK")

    async def step(self) -> None:
        """Take what waits, up to some, and see to it."""
        await self._pieces.step()

    async def _see_to(self, work: Work) -> None:
        try:
            await self._store(work)
        except InvalidNameError as error:
            await self._set_aside(work, str(error))

    async def _store(self, work: Work) -> None:
        is_schema = work.subject == legacy.SCHEMA_FAILURES
        try:
            members = legacy.decode_object(work.payload)
            if is_schema:
                failure = _SchemaFailure.model_validate(members)
            else:
                given_up = _GivenUp.model_validate(members)
        except ValidationError as error:
            await self._set_aside(work, describe_faults(error))
        except ValueError:
            await self._set_aside(work, "it is no JSON object")
        else:
            if is_schema:
                await self._schema_failed(work, failure)
            else:
                await self._given_up(work, given_up)

    async def _schema_failed(self, work: Work, report: _SchemaFailure) -> None:
        try:
            payload = bytes.fromhex(report.message.data)
        except ValueError:
            await self._set_aside(work, "its data are not whole bytes in hexadecimal")
            return
        station = StationName.parse(report.station_name.replace("#", "."))
        carried = {key: value for key, value in report.message.headers.items() if _fits(key, value)}
        carried.setdefault(headers.PRODUCED_BY, headers.one_line(report.producer.name))
        await self._recorder.schema_failed(
            station,
            payload,
            carried,
            report.validation_error or "it failed the schema",
            f"{work.sequence}/{work.stored_at.timestamp()}",
        )

    async def _given_up(self, work: Work, report: _GivenUp) -> None:
        station = StationName.parse(report.station_name.replace("#", "."))
        group = GroupName.parse(report.cg_name.replace("#", "."))
        word = GivenUp(
            stream=subjects.stream_name(station, report.partition),
            consumer=group.internal,
            sequence=report.seq,
            deliveries=0,
            reason=report.error or "a consumer gave it up",
            was_terminated=True,
        )
        if await self._recorder.knows(word):
            await self._recorder.given_up(word)
        else:
            await self._set_aside(work, "there is no such consumer, or there was no such message")

    async def _set_aside(self, work: Work, reason: str) -> None:
        await self._pieces.set_aside(
            work, f"the report of an original SDK cannot be used: {reason}"
        )


def _fits(key: str, value: str) -> bool:
    """Whether a header can be kept: those SDKs report their own, which are reserved, along with the rest."""
    if key in {headers.PRODUCED_BY, headers.CONNECTION_ID}:
        return value == headers.one_line(value)
    try:
        headers.check_user_header(key, value)
    except MemphisHeaderError:
        return False
    return True
