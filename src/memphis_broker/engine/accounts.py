"""The engine's accounts, and the secrets with which the broker itself enters them.

An embedded engine gets new secrets at every start; for an attached one they are made once, kept in
a file, and put into that server's own configuration. Invariant: no secret shows in a ``repr``.
"""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final, Self

import nkeys  # type: ignore[import-untyped]  # it ships no types

from memphis_broker.config import StartupError

CLIENTS_ACCOUNT: Final = "MEMPHIS"
"""Where clients log in and stations live."""
BROKER_ACCOUNT: Final = "BROKER"
"""Where the broker serves requests, answers logins and keeps its records."""
SYSTEM_ACCOUNT: Final = "SYS"

# A dollar is in no user name, so no client can be taken for one of these.
CLIENTS_USER: Final = "$streams"
BROKER_USER: Final = "$broker"
SYSTEM_USER: Final = "$system"

_KEY_BYTES = 32
_PASSWORD_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class EngineSecrets:
    """The passwords of the broker's own users, and the seed of the key that signs logins."""

    clients_password: str = field(repr=False)
    broker_password: str = field(repr=False)
    system_password: str = field(repr=False)
    issuer_seed: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """New random secrets."""
        seed = nkeys.encode_seed(secrets.token_bytes(_KEY_BYTES), nkeys.PREFIX_BYTE_ACCOUNT)
        return cls(
            clients_password=secrets.token_urlsafe(_PASSWORD_BYTES),
            broker_password=secrets.token_urlsafe(_PASSWORD_BYTES),
            system_password=secrets.token_urlsafe(_PASSWORD_BYTES),
            issuer_seed=seed.decode(),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that :meth:`write` made; JSON with the same keys is read as well.

        Raises:
            StartupError: It cannot be read, or a key is missing or cannot be used.
        """
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        except OSError as error:
            raise StartupError(
                f"cannot read the engine secrets {path}: {error.strerror}"
            ) from error
        except ValueError as error:
            raise StartupError(f"the engine secrets {path} are neither TOML nor JSON") from error
        for entry in fields(cls):
            if not isinstance(values.get(entry.name), str) or not values[entry.name]:
                raise StartupError(
                    f"the engine secrets {path} have no text under {entry.name}; "
                    "make a file with: memphis engine-config --secrets-out FILE"
                )
        loaded = cls(**{entry.name: values[entry.name] for entry in fields(cls)})
        try:
            public_key = loaded.issuer_public_key
        except (nkeys.NkeysError, ValueError) as error:
            raise StartupError(f"the issuer_seed in {path} is not a valid nkey seed") from error
        if not public_key.startswith("A"):
            raise StartupError(f"the issuer_seed in {path} is not the seed of an account key")
        return loaded

    def write(self, path: Path) -> None:
        """Write a new TOML file that only its owner can read.

        Raises:
            StartupError: It exists, or cannot be written.
        """
        # JSON strings without control characters are TOML strings too.
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in asdict(self).items()]
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(lines)
        except FileExistsError as error:
            raise StartupError(
                f"{path} exists; an engine may be using its secrets, so choose another name"
            ) from error
        except OSError as error:
            raise StartupError(f"cannot write {path}: {error.strerror}") from error

    def issuer(self) -> nkeys.KeyPair:
        """The key pair that signs logins."""
        return nkeys.from_seed(self.issuer_seed.encode())

    @property
    def issuer_public_key(self) -> str:
        """What the engine trusts logins by."""
        return str(self.issuer().public_key, "ascii")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How one connection logs in."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class EngineTargets:
    """Where an engine is, and as whom the broker enters each account.

    With ``secrets`` the engine has the broker's accounts; without, it is a plain server with one
    account for everything, and ``plain`` or ``plain_token`` is how to log in there, if at all.
    """

    urls: list[str]
    secrets: EngineSecrets | None = None
    plain: Credentials | None = None
    plain_token: str | None = field(default=None, repr=False)
