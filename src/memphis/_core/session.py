"""Everything that lives as long as one connection, made and ended in one place."""

from __future__ import annotations

from memphis._core.claims import give_back
from memphis._core.enforcement import Codecs
from memphis._core.rpc import Rpc
from memphis._core.tasks import TaskOwner
from memphis._core.updates import StationStates
from memphis._core.users import DRAIN_S
from memphis.exceptions import MemphisError
from memphis.transport.connection import Connection
from memphis.transport.options import ConnectOptions
from memphis.transport.publisher import Publisher
from memphis.transport.puller import Puller


class Session:
    """One connection and what works on it. Made with :meth:`open`, ended with :meth:`close`."""

    def __init__(self, connection: Connection, connection_id: str) -> None:
        self.connection = connection
        self.connection_id = connection_id
        self.tasks = TaskOwner()
        self.rpc = Rpc(connection)
        self.codecs = Codecs(self.rpc)
        self.states = StationStates(connection, self.rpc, self.codecs, self.tasks)
        self.publisher = Publisher(connection)
        # What comes after its pull was cancelled: the next member shall have it at once.
        self.puller = Puller(connection, on_stray=lambda frame: give_back(connection, [frame]))

    @classmethod
    async def open(cls, options: ConnectOptions, connection_id: str) -> Session:
        """Connect.

        Raises:
            MemphisConnectError: No connection, or the login was refused.
        """
        return cls(await Connection.open(options), connection_id)

    async def close(self) -> None:
        """End tasks, then what is in flight, then the connection: each needs those that follow."""
        self.states.close()
        try:
            await self.tasks.finish(DRAIN_S)
            if self.connection.is_connected:
                await self.publisher.drain(DRAIN_S)
        except MemphisError:
            # The connection went while draining; whoever waits for a result has been told.
            return
        finally:
            await self.connection.close()
