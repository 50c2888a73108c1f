"""What a slice offers to the edges: a request type, and the service method that grants it.

Slices list operations, edges serve them; neither imports the other, and both read this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from memphis.wire.models import Reply, Request

RequestT = TypeVar("RequestT", bound=Request)


@dataclass(frozen=True)
class Operation(Generic[RequestT]):
    """One thing that can be asked of the broker.

    Attributes:
        request: The type of the request; it names its own noun and verb.
        handle: Grants the request, or raises ``Refusal`` or ``InvalidNameError``.
        root_only: Whether nobody but root may ask for it; the edge sees to that.
    """

    request: type[RequestT]
    handle: Callable[[RequestT], Awaitable[Reply]]
    root_only: bool = False
