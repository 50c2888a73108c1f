"""The decision about a login, and its wire form, without an engine."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis_broker.engine.accounts import EngineSecrets
from memphis_broker.engine.callout import (
    MalformedJwtError,
    decode_claims,
    encode_jwt,
    permission_claims,
)
from memphis_broker.engine.logins import LoginAttempt, LoginRefusedError
from memphis_broker.users.logins import LoginService
from memphis_broker.users.passwords import Passwords
from memphis_broker.users.store import NoUsers

SERVICE = LoginService("password", NoUsers(), Passwords(memory_kib=8), "token")
ID = "0c8f5a3e-9f0b-4d52-8a55-5d4f1d0d7b11"


@pytest.mark.parametrize("user", ["root", "ROOT", "root$1", "root$some-account"])
async def test_root_by_password(user: str) -> None:
    """root logs in under its name, also as the original's SDKs write it."""
    login = await SERVICE.log_in(LoginAttempt(user=user, password="password"))
    assert login.user == "root"


@pytest.mark.parametrize(
    "attempt",
    [
        LoginAttempt(),
        LoginAttempt(user="root"),
        LoginAttempt(user="root", password="passwor"),
        LoginAttempt(user="root", password="\ud800"),
        LoginAttempt(user="$root", password="password"),
        LoginAttempt(user="rooot", password="password"),
        LoginAttempt(user="root", password="password", token="token", connection_name="x::root"),
        LoginAttempt(token="token"),
        LoginAttempt(token="token", connection_name=f"{ID}::root"),
        LoginAttempt(token="token", connection_name=f"{ID}::ROOT"),
        LoginAttempt(token="token", connection_name="x::somebody"),
        LoginAttempt(token="token", connection_name="::somebody"),
        LoginAttempt(token="token", connection_name="*::somebody"),
        LoginAttempt(token="token", connection_name=f"{{{ID}}}::somebody"),
        LoginAttempt(token="token", connection_name=f"{ID.upper()}::somebody"),
        LoginAttempt(token="token", connection_name=f"{ID.replace('-', '')}::somebody"),
        LoginAttempt(token="token", connection_name="root"),
        LoginAttempt(token="token", connection_name=f"{ID}::a b"),
        LoginAttempt(token="token", connection_name=f"{ID}::" + "a" * 61),
        LoginAttempt(token="Token", connection_name=f"{ID}::somebody"),
    ],
)
async def test_refused(attempt: LoginAttempt) -> None:
    """Everything but the two exact forms is refused, with a reason that has no secret."""
    with pytest.raises(LoginRefusedError) as refused:
        await SERVICE.log_in(attempt)
    for secret in {attempt.password, attempt.token, "password", "token"} - {""}:
        assert secret not in str(refused.value).replace("connection token", "").replace(
            "wrong password", ""
        ).replace("a password and", "")


@given(st.text(), st.text(), st.text(), st.text())
async def test_no_login_breaks_the_decision(
    user: str, password: str, token: str, name: str
) -> None:
    """Any text is granted or refused, never an accident."""
    attempt = LoginAttempt(user=user, password=password, token=token, connection_name=name)
    try:
        login = await SERVICE.log_in(attempt)
    except LoginRefusedError:
        return
    assert (user.partition("$")[0].lower(), password) == ("root", "password") or token == "token"
    inboxes = (f"_INBOX.{login.user.internal}.", f"_MBOX.{login.user.internal}.")
    assert login.permissions.subscribe[0].startswith(inboxes)
    assert (login.user == "root") == (token == "")


@pytest.mark.parametrize("name", ["", "tool", "x::root", f"{ID}::other", f"{ID}::", f"{ID}::r*"])
async def test_a_password_opens_the_inboxes_of_its_user(name: str) -> None:
    """A client that names no connection of this user may listen for any of the user's replies."""
    login = await SERVICE.log_in(
        LoginAttempt(user="root", password="password", connection_name=name)
    )
    assert login.permissions.subscribe[0] == "_INBOX.root.>"


@pytest.mark.parametrize("user", ["root", "Root"])
async def test_a_named_connection_opens_its_own_inbox_only(user: str) -> None:
    """What our SDK says is enough to grant no more than it needs."""
    attempt = LoginAttempt(user="root", password="password", connection_name=f"{ID}::{user}")
    login = await SERVICE.log_in(attempt)
    assert login.permissions.subscribe[0] == f"_MBOX.root.{ID}.>"


async def test_a_user_gets_its_own_inbox_and_no_wildcard_of_its_name() -> None:
    """A dotted name becomes one token, so its inbox is no part of another's."""
    login = await SERVICE.log_in(LoginAttempt(token="token", connection_name=f"{ID}::a.b"))
    assert login.permissions.subscribe[0] == f"_MBOX.a#b.{ID}.>"
    claims = permission_claims(login.permissions)
    assert claims["resp"] == {"max": login.permissions.responses_max, "ttl": 5_000_000_000}
    assert "_INBOX.>" not in claims["sub"]["allow"]


def test_a_jwt_is_signed_by_its_issuer() -> None:
    """The engine can verify what we sign, and the claims come back."""
    issuer = EngineSecrets.generate().issuer()
    token = encode_jwt({"sub": "ü"}, issuer)
    assert decode_claims(token) == {"sub": "ü"}
    body, _, signature = token.rpartition(".")
    issuer.verify(body.encode(), base64.urlsafe_b64decode(signature + "=="))


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "a.W10.c", "a.@@@@.c", "a.b.c.d"])
def test_malformed_jwts_are_refused(token: str) -> None:
    """Text that holds no claims is refused as such."""
    with pytest.raises(MalformedJwtError):
        decode_claims(token)
