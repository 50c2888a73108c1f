"""From a method of the asynchronous SDK to one that can be called without an event loop.

A synchronous class is a :class:`Face` of an asynchronous object. Each of its methods is made of the
asynchronous one by a function here, which says how it is called, and keeps its name, parameters, defaults and
docstring, for readers and for type checkers. So an option that is added there is here as well.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

from memphis.sync._loop import Loop

_A = TypeVar("_A")
_A_co = TypeVar("_A_co", covariant=True)
_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")

_KEPT: Final = ("__name__", "__qualname__", "__doc__")
_END: Final = object()


class Face(Generic[_A_co]):
    """What stands for an asynchronous object in code without an event loop.

    May be used from any number of threads, unless its class says otherwise. Its methods are those of the
    asynchronous class of this name, described there; each returns when it is done. What a method here raises
    besides: ``MemphisUsageError`` in the thread of the event loop, and in a process that was forked since.
    """

    __slots__ = ("_inner", "_loop")

    def __init__(self, loop: Loop, inner: _A_co) -> None:
        self._loop = loop
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)


def blocking(
    method: Callable[Concatenate[_A, _P], Awaitable[_R]],
) -> Callable[Concatenate[Face[_A], _P], _R]:
    """Call it in the loop and wait for its result."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self._loop.run(lambda: method(self._inner, *args, **kwargs))

    return call


def making(
    method: Callable[Concatenate[_A, _P], Awaitable[_R]], face: Callable[[Loop, _R], _S]
) -> Callable[Concatenate[Face[_A], _P], _S]:
    """As :func:`blocking`, with a face for the result."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> _S:
        return face(self._loop, self._loop.run(lambda: method(self._inner, *args, **kwargs)))

    return call


def in_loop(
    method: Callable[Concatenate[_A, _P], _R],
) -> Callable[Concatenate[Face[_A], _P], _R]:
    """Call a method that awaits nothing, but whose work belongs to the loop's thread."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        async def in_thread() -> _R:
            return method(self._inner, *args, **kwargs)

        return self._loop.run(in_thread)

    return call


def direct(
    method: Callable[Concatenate[_A, _P], _R],
) -> Callable[Concatenate[Face[_A], _P], _R]:
    """Call a method that only reads what does not change, in the caller's thread."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return method(self._inner, *args, **kwargs)

    return call


def making_directly(
    method: Callable[Concatenate[_A, _P], _R], face: Callable[[Loop, _R], _S]
) -> Callable[Concatenate[Face[_A], _P], _S]:
    """As :func:`direct`, with a face for the result."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> _S:
        return face(self._loop, method(self._inner, *args, **kwargs))

    return call


def iterating(
    method: Callable[Concatenate[_A, _P], AsyncIterator[_R]],
) -> Callable[Concatenate[Face[_A], _P], Iterator[_R]]:
    """Iterate in the loop, an item at a time, as the caller asks for one."""

    @functools.wraps(method, _KEPT)
    def call(self: Face[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> Iterator[_R]:
        return each(self._loop, method(self._inner, *args, **kwargs))

    return call


def each(loop: Loop, source: AsyncIterator[_R]) -> Iterator[_R]:
    """What an asynchronous iterator gives; the loop closes one that is not read to its end."""

    async def following() -> _R | object:
        return await anext(source, _END)

    while (item := loop.run(following)) is not _END:
        yield item  # type: ignore[misc]
