"""Reads an original installation over its management API: HTTP, and nothing else.

What it asks for: a login, the stations and each of them, the schemas and each of them, the users. All of
it only reads. What the answers mean is in :mod:`answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from memphis_broker.move_in import answers
from memphis_broker.move_in.model import Export, ExportedSchema, ExportedStation, MoveInError

Progress = Callable[[str], None]
"""Told what is being read."""

_TIMEOUT_S: Final = 30.0
_PORT: Final = 9000
_UNAUTHORIZED: Final = 401
_FOR_THE_USER: Final = 406
_NOT_FOUND: Final = 404
_OK: Final = range(200, 300)
_TEXT_SHOWN_MAX: Final = 200


def address(given: str) -> str:
    """The address of the API for what a person gave: a host, with port and scheme if need be.

    Raises:
        MoveInError: It is none.
    """
    text = given.strip().rstrip("/").removesuffix("/api")
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        if url.port is None and "://" not in text:
            url = url.copy_with(port=_PORT)
    except httpx.InvalidURL as error:
        raise MoveInError(f"{given!r} is no address; give it like http://localhost:9000") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise MoveInError(f"{given!r} is no address; give it like http://localhost:9000")
    return str(url).rstrip("/")


class OriginalApi:
    """The management API of one original installation. An async context manager.

    Args:
        url: Its address, as :func:`address` gives it.
        username: Who reads: root, or a management user.
        password: Of that user.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._login = {"username": username, "password": password}
        self._client = httpx.AsyncClient(base_url=f"{url}/api/", timeout=_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def read(self, progress: Progress) -> Export:
        """Everything that can be carried, and what cannot but is there.

        Raises:
            MoveInError: It does not answer, refuses the login, or says what nobody understands.
        """
        await self._log_in()
        stations: list[ExportedStation] = []
        schemas: list[ExportedSchema] = []
        assumptions: list[str] = []
        progress("users")
        users = answers.read_users(await self._get("usermgmt/getAllUsers"))
        listed = await self._get("schemas/getAllSchemas")
        for entry in answers.told(listed, "the list of schemas", "schemas"):
            name = str(answers.member(entry, "the list of schemas", "name", "schema_name"))
            progress(f"schema {name}")
            details = await self._get("schemas/getSchemaDetails", schema_name=name)
            schema, assumed = answers.read_schema({**entry, **_fields(details)})
            schemas.append(schema)
            assumptions += assumed
        listed = await self._get("stations/getStations")
        for entry in answers.told(listed, "the list of stations", "stations"):
            name = answers.station_name(entry)
            if not name:
                continue
            progress(f"station {name}")
            station, assumed = answers.read_station(await self._station(name, entry))
            stations.append(station)
            assumptions += assumed
        return Export(
            source=self._url,
            stations=stations,
            schemas=schemas,
            users=users,
            assumptions=assumptions,
        )

    async def _station(self, name: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """All that is told of a station, wherever it is told; what comes later is nearer to the truth."""
        found = {**answers.unwrapped(entry, "a station", "station")}
        for path in ("stations/getStation", "monitoring/getStationOverviewData"):
            if not answers.lacks(found):
                break
            parameters = {"station_name": name}
            if path.startswith("monitoring"):
                parameters["partition_number"] = "-1"
            told = await self._get(path, may_lack=True, **parameters)
            if told is not None:
                more = answers.unwrapped(told, f"the station {name}", "station")
                found |= {key: value for key, value in more.items() if value is not None}
        return {**found, "name": name}

    async def _log_in(self) -> None:
        answer = await self._send("POST", "usermgmt/login", json=self._login)
        if answer.status_code in {_UNAUTHORIZED, _FOR_THE_USER}:
            raise MoveInError(
                f"{self._url} refused the login of {self._login['username']}; check --source-user and "
                "--source-password"
            )
        token = answers.member(self._json(answer), "the login", "jwt")
        self._client.headers["Authorization"] = f"Bearer {token}"

    async def _get(self, path: str, *, may_lack: bool = False, **parameters: str) -> Any:
        """The JSON of one answer; None where the original has no such path and may."""
        answer = await self._send("GET", path, params=parameters)
        if answer.status_code == _UNAUTHORIZED:
            await self._log_in()  # a token is good for a quarter of an hour
            answer = await self._send("GET", path, params=parameters)
        if may_lack and answer.status_code in {_NOT_FOUND, _FOR_THE_USER}:
            return None
        return self._json(answer)

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise MoveInError(
                f"{self._url} does not answer {path}: {str(error) or type(error).__name__}; is that the "
                f"original's web port (usually {_PORT})?"
            ) from error

    def _json(self, answer: httpx.Response) -> Any:
        path = answer.request.url.path
        try:
            body = answer.json()
        except ValueError as error:
            raise MoveInError(
                f"{self._url} answered {path} with status {answer.status_code} and no JSON; is that the "
                "original's management API?"
            ) from error
        if answer.status_code not in _OK:
            words = str(body.get("message", "") if isinstance(body, dict) else body)
            raise MoveInError(
                f"{self._url} answered {path} with status {answer.status_code}"
                f"{f': {words[:_TEXT_SHOWN_MAX]}' if words else ''}"
            )
        return body


def _fields(answer: object) -> Mapping[str, Any]:
    return answers.unwrapped(answer, "a schema", "schema")
