"""Passwords of users: their hashes, what is remembered, and who gets in; without an engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memphis.exceptions import MemphisUsageError
from memphis.users import _checked
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.names import UserName
from memphis.wire.users import UserCreate
from memphis_broker.engine.logins import LoginAttempt, LoginRefusedError
from memphis_broker.users import model, passwords
from memphis_broker.users.logins import LoginService
from memphis_broker.users.model import UserRecord
from memphis_broker.users.passwords import KnownPassword, Passwords, TooManyChecksError
from memphis_broker.users.store import StoredUser
from tests.waiting import eventually

SHOP = UserName.parse("shop")
ID = "0c8f5a3e-9f0b-4d52-8a55-5d4f1d0d7b11"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def cheap(**options: Any) -> Passwords:
    """Hashes that cost nothing."""
    return Passwords(memory_kib=8, **options)


class Counted:
    """Counts the checks, and holds them back where a test wants that."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.now = 0
        self.most = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()
        self._verify: Callable[[str, bytes], bool] = passwords._verify
        patch.setattr(passwords, "_verify", self)

    def __call__(self, password_hash: str, password: bytes) -> bool:
        with self._lock:
            self.count += 1
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go_on.wait(30)
        with self._lock:
            self.now -= 1
        return self._verify(password_hash, password)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


class Users:
    """Users as records would have them."""

    def __init__(self, *users: UserRecord) -> None:
        self._users = {user.name: user for user in users}

    async def find(self, name: UserName) -> StoredUser:
        return StoredUser(self._users.get(name), 7)


class Unreachable:
    """Records that cannot be read."""

    async def find(self, name: UserName) -> StoredUser:
        raise Refusal(ErrorCode.ENGINE_UNAVAILABLE, "the engine does not answer")


def record(name: str, password_hash: str) -> UserRecord:
    return UserRecord(
        name=name,
        type="application",
        password_hash=password_hash,
        created_at=LONG_AGO,
        password_set_at=LONG_AGO,
    )


async def service(password: str = "a password", token: str | None = "token") -> LoginService:
    by = cheap()
    return LoginService("of root", Users(record("shop", await by.hash(password))), by, token)


async def test_hashes_are_salted_and_say_how_they_were_made():
    """The same password twice gives two hashes, both of argon2id, and none of them has it."""
    by = Passwords()
    first, second = await by.hash("a password"), await by.hash("a password")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "a password" not in first
    assert await by.matches(SHOP, "a password", KnownPassword(first, 1))
    assert not await by.matches(SHOP, "another one", KnownPassword(second, 1))


async def test_a_right_password_is_checked_once(counted: Counted):
    """Until the record changes; a wrong one is checked each time."""
    by = cheap()
    known = KnownPassword(await by.hash("a password"), 1)
    for _ in range(3):
        assert await by.matches(SHOP, "a password", known)
    assert counted.count == 1
    for _ in range(3):
        assert not await by.matches(SHOP, "a passwort", known)
    assert counted.count == 4
    assert await by.matches(SHOP, "a password", known._replace(revision=2))
    assert counted.count == 5


async def test_an_old_password_is_not_remembered_for_a_new_record(counted: Counted):
    """What was right for an earlier revision says nothing."""
    by = cheap()
    assert await by.matches(SHOP, "old password", KnownPassword(await by.hash("old password"), 1))
    new = KnownPassword(await by.hash("new password"), 2)
    assert not await by.matches(SHOP, "old password", new)
    assert await by.matches(SHOP, "new password", new)


async def test_an_unknown_user_costs_a_check(counted: Counted):
    """As a wrong password does, and with the same parameters."""
    by = cheap()
    assert not await by.matches(SHOP, "a password", None)
    assert counted.count == 1
    known = KnownPassword(await by.hash("a password"), 1)
    assert by._nobodys.rsplit("$", 2)[0] == known.password_hash.rsplit("$", 2)[0]
    assert len(by._nobodys) == len(known.password_hash)


async def test_a_hash_that_cannot_be_read_lets_nobody_in():
    """And breaks nothing."""
    for broken in ("", "$argon2id$", "no hash", "$argon2id$v=19$m=8,t=2,p=1$####$####"):
        assert not await cheap().matches(SHOP, "a password", KnownPassword(broken, 1))


async def test_what_is_remembered_is_bounded(counted: Counted):
    """Who logged in least recently is forgotten, and checked again."""
    by = cheap(remembered_max=2)
    known = KnownPassword(await by.hash("a password"), 1)
    a, b, c = (UserName.parse(name) for name in "abc")
    for name in (a, b, a, c):
        assert await by.matches(name, "a password", known)
    assert by.statistics()["remembered"] == 2
    assert counted.count == 3
    assert await by.matches(a, "a password", known)
    assert counted.count == 3
    assert await by.matches(b, "a password", known)
    assert counted.count == 4


@pytest.mark.parametrize(
    ("password", "is_known"), [("a password", True), ("wrong one", True), ("wrong one", False)]
)
async def test_the_same_login_at_once_is_checked_once(
    counted: Counted, password: str, is_known: bool
):
    """Right or wrong, known or not, so that the time tells nothing."""
    by = cheap()
    known = KnownPassword(await by.hash("a password"), 1) if is_known else None
    found = await asyncio.gather(*(by.matches(SHOP, password, known) for _ in range(600)))
    assert set(found) == {password == "a password"}
    assert counted.count == 1


async def test_few_are_checked_at_a_time_and_few_wait(counted: Counted):
    """Too many are turned away; a password that was right before waits for none of them."""
    by = cheap(under_way_max=5)
    known = KnownPassword(await by.hash("a password"), 1)
    assert await by.matches(SHOP, "a password", known)
    counted.go_on.clear()
    try:
        asked = [asyncio.create_task(by.matches(SHOP, f"wrong {n}", known)) for n in range(9)]
        done, pending = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert by.statistics()["under_way"] == 5
        assert await by.matches(SHOP, "a password", known)
    finally:
        counted.go_on.set()
    found = await asyncio.gather(*done, *pending, return_exceptions=True)
    assert counted.most <= passwords.CHECKS_AT_A_TIME_MAX
    assert [type(one) for one in found].count(TooManyChecksError) == 4
    assert found.count(False) == 5
    assert by.statistics()["under_way"] == 0


async def test_who_gives_up_takes_the_check_from_nobody(counted: Counted):
    """It goes on for the others, and is remembered; stop() ends it."""
    by = cheap()
    known = KnownPassword(await by.hash("a password"), 1)
    counted.go_on.clear()
    first = asyncio.create_task(by.matches(SHOP, "a password", known))
    second = asyncio.create_task(by.matches(SHOP, "a password", known))
    await eventually(lambda: counted.now == 1)
    first.cancel()
    counted.go_on.set()
    assert await second
    assert await by.matches(SHOP, "a password", known)
    assert counted.count == 1
    counted.go_on.clear()
    third = asyncio.create_task(by.matches(SHOP, "wrong one", known))
    await eventually(lambda: counted.now == 1)
    await by.stop()
    await by.stop()
    counted.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert by.statistics()["under_way"] == 0


@pytest.mark.parametrize("user", ["shop", "SHOP", "shop$1"])
async def test_a_user_logs_in_by_password(user: str):
    """Also as the original's SDKs write it."""
    login = await (await service()).log_in(LoginAttempt(user=user, password="a password"))
    assert login.user == "shop"


@pytest.mark.parametrize(
    "attempt",
    [
        LoginAttempt(user="shop", password="another"),
        LoginAttempt(user="shop", password=""),
        LoginAttempt(user="shop", password="\ud800"),
        LoginAttempt(user="shop", password="of root"),
        LoginAttempt(user="root", password="a password"),
        LoginAttempt(user="shops", password="a password"),
        LoginAttempt(token="token", connection_name=f"{ID}::shop"),
        LoginAttempt(token="token", connection_name=f"{ID}::Shop"),
    ],
)
async def test_others_do_not(attempt: LoginAttempt):
    """Not by another's password, nor by the token under the name of who has one."""
    logins = await service()
    with pytest.raises(LoginRefusedError) as refused:
        await logins.log_in(attempt)
    assert not attempt.password or attempt.password not in str(refused.value)


async def test_an_unknown_user_and_a_wrong_password_read_alike():
    """Even the log does not tell which of the two it was."""
    texts = set()
    for user in ("shop", "shap"):
        with pytest.raises(LoginRefusedError) as refused:
            await (await service()).log_in(LoginAttempt(user=user, password="wrong"))
        texts.add(str(refused.value).replace(user, "?"))
    assert len(texts) == 1


@given(st.text(), st.text(), st.text(), st.text())
async def test_no_login_breaks_the_decision(user: str, password: str, token: str, name: str):
    """Any text is granted or refused, never an accident."""
    logins = await service()
    attempt = LoginAttempt(user=user, password=password, token=token, connection_name=name)
    try:
        login = await logins.log_in(attempt)
    except LoginRefusedError:
        return
    assert token == "token" or (login.user, password) in {
        ("root", "of root"),
        ("shop", "a password"),
    }


@given(st.text(st.characters(), max_size=200))
async def test_any_text_can_be_a_password(password: str):
    """It is right for its own hash, whatever is in it."""
    by = cheap()
    assert await by.matches(SHOP, password, KnownPassword(await by.hash(password), 1))


async def test_users_that_cannot_be_looked_up_stay_out():
    """Neither by password nor by token, which could be another's name; root needs no look."""
    logins = LoginService("of root", Unreachable(), cheap(), "token")
    for attempt in (
        LoginAttempt(user="shop", password="a password"),
        LoginAttempt(token="token", connection_name=f"{ID}::shop"),
    ):
        with pytest.raises(LoginRefusedError):
            await logins.log_in(attempt)
    assert (await logins.log_in(LoginAttempt(user="root", password="of root"))).user == "root"


@given(st.text(min_size=8, max_size=128))
def test_a_password_is_in_no_text_of_its_request(password: str):
    """What can be encoded is taken as it is, and not shown."""
    request = UserCreate(name="shop", password=_checked(password))
    assert request.password == password
    assert repr(password) not in repr(request)


@pytest.mark.parametrize("password", ["short", "much too long" * 11, "not \ud800 text"])
def test_complaints_do_not_quote_a_password(password: str):
    """They say what is wrong with it."""
    with pytest.raises(MemphisUsageError) as refused:
        _checked(password)
    assert password not in str(refused.value)


def test_no_error_of_a_request_or_record_quotes_a_secret():
    """Pydantic quotes what is wrong unless it is told not to."""
    with pytest.raises(ValidationError) as refused:
        UserCreate(name="shop", password="secret")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValidationError) as refused:
        UserRecord.model_validate_json('{"name": "shop", "password_hash": "secret"}')
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(record("shop", "secret"))


@pytest.mark.parametrize("password", [None, 12345678, b"a password", "\ud800" * 8])
def test_what_is_no_text_is_no_password(password: Any):
    """A usage error, before anything is asked."""
    with pytest.raises(MemphisUsageError):
        _checked(password)


def test_keys_are_valid_and_differ():
    """A dot, also two of them in a row, is no separator in a key."""
    names = ["a.b", "a..b", "a-b", "a_b"]
    keys = {model.key_of(UserName.parse(name)) for name in names}
    assert len(keys) == len(names)
    assert not any("." in key for key in keys)
