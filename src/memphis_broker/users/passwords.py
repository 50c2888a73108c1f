"""Hashes passwords and checks them, beside the event loop and never too many at a time.

A check takes 20 to 50 ms of a core and 19 MiB on purpose. After a restart of the engine all clients log in
again at once, so what was found right is remembered: not the password, but its HMAC by a key that this
process made and nobody else has, for the revision of the record that it was right for. And logins at once
with the same user and password share one check.

Invariants: a wrong password costs what a check costs, also where there is nothing to check it by; nothing
here holds a password longer than its check takes.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

from memphis.wire.names import UserName

logger = logging.getLogger(__name__)

CHECKS_AT_A_TIME_MAX: Final = 2
UNDER_WAY_MAX: Final = 512
"""Far more than are checked in the two seconds that the engine waits for a login. Those that are too late
are not for nothing: a right password is remembered, and the client comes again."""
REMEMBERED_MAX: Final = 10_000
"""Users; one takes some 300 bytes."""

_MEMORY_KIB: Final = 19_456
_PASSES: Final = 2
_LANES: Final = 1
_HASH_BYTES: Final = 32
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32


class TooManyChecksError(Exception):
    """So many passwords wait to be checked that one more would not be in time."""


class KnownPassword(NamedTuple):
    """What a password is checked by, and which revision of the user's record says so."""

    password_hash: str
    revision: int


class Passwords:
    """One for a process, whatever becomes of its engine. Safe for many tasks of one event loop.

    Args:
        memory_kib: What one hash takes of memory.
        remembered_max: Of how many users to remember that their password was right; those who logged in
            least recently are forgotten.
        under_way_max: How many checks may run or wait for their turn.
    """

    def __init__(
        self,
        memory_kib: int = _MEMORY_KIB,
        *,
        remembered_max: int = REMEMBERED_MAX,
        under_way_max: int = UNDER_WAY_MAX,
    ) -> None:
        self._memory_kib = memory_kib
        self._remembered_max = remembered_max
        self._under_way_max = under_way_max
        self._turns = asyncio.Semaphore(CHECKS_AT_A_TIME_MAX)
        self._under_way: dict[tuple[UserName, int, bytes], asyncio.Task[bool]] = {}
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._right: OrderedDict[UserName, tuple[int, bytes]] = OrderedDict()
        # No password has it: its end is random, and not made of anything.
        ends = f"${_random(_SALT_BYTES)}${_random(_HASH_BYTES)}"
        self._nobodys = f"$argon2id$v=19$m={memory_kib},t={_PASSES},p={_LANES}{ends}"

    def statistics(self) -> dict[str, int]:
        """How many checks are under way, and of how many users a right password is remembered."""
        return {"under_way": len(self._under_way), "remembered": len(self._right)}

    async def stop(self) -> None:
        """Give up the checks that are under way; whoever waits for one is cancelled. Idempotent."""
        while tasks := list(self._under_way.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def hash(self, password: str) -> str:
        """The hash of a new password, with a salt of its own."""
        async with self._turns:
            return await asyncio.to_thread(_hash, _encoded(password), self._memory_kib)

    async def matches(self, user: UserName, password: str, known: KnownPassword | None) -> bool:
        """Whether the password is right.

        A right one that was so before, for the same revision, takes microseconds, and waits for nobody.

        Args:
            user: Whose it should be.
            password: What was given.
            known: What it is checked by; None is never right, and takes as long.

        Raises:
            TooManyChecksError: It was not checked.
        """
        given = _encoded(password)
        mark = hmac.digest(self._key, given, "sha256")
        if known and self._is_remembered(user, known.revision, mark):
            return True
        key = (user, known.revision if known else 0, mark)
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._under_way_max:
                raise TooManyChecksError
            task = asyncio.create_task(
                self._check(key, known.password_hash if known else self._nobodys, given),
                name="memphis password check",
            )
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key))
        # Whoever began it may give up; others wait for it, and its result is remembered.
        is_right = await asyncio.shield(task)
        return is_right and known is not None

    async def _check(
        self, key: tuple[UserName, int, bytes], password_hash: str, given: bytes
    ) -> bool:
        async with self._turns:
            is_right = await asyncio.to_thread(_verify, password_hash, given)
        if is_right:
            self._remember(*key)
        return is_right

    def _is_remembered(self, user: UserName, revision: int, mark: bytes) -> bool:
        remembered = self._right.get(user)
        if remembered is None or remembered[0] != revision:
            return False
        if not hmac.compare_digest(remembered[1], mark):
            return False
        self._right.move_to_end(user)
        return True

    def _remember(self, user: UserName, revision: int, mark: bytes) -> None:
        self._right[user] = (revision, mark)
        self._right.move_to_end(user)
        while len(self._right) > self._remembered_max:
            self._right.popitem(last=False)


def _hash(password: bytes, memory_kib: int) -> str:
    # Here and below: imported in a thread, when it is first needed, because it delays a start.
    from argon2.low_level import Type, hash_secret  # noqa: PLC0415

    encoded = hash_secret(
        password,
        secrets.token_bytes(_SALT_BYTES),
        time_cost=_PASSES,
        memory_cost=memory_kib,
        parallelism=_LANES,
        hash_len=_HASH_BYTES,
        type=Type.ID,
    )
    return encoded.decode()


def _verify(password_hash: str, password: bytes) -> bool:
    from argon2.exceptions import VerificationError, VerifyMismatchError  # noqa: PLC0415
    from argon2.low_level import Type, verify_secret  # noqa: PLC0415

    try:
        return verify_secret(password_hash.encode(), password, Type.ID)
    except VerifyMismatchError:
        return False
    except VerificationError as error:
        logger.error("a stored password hash cannot be read: %s", type(error).__name__)  # noqa: TRY400 - a traceback would quote the hash
        return False


def _encoded(password: str) -> bytes:
    # Lone surrogates can arrive through JSON escapes and have no plain UTF-8 form.
    return password.encode("utf-8", "surrogatepass")


def _random(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
