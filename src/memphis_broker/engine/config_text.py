"""The text of an engine's configuration, from values. Pure.

One function makes the part with the accounts, for an embedded engine and for an attached one
alike. Invariant: any string can be a value; none can break out of its quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memphis.wire import legacy
from memphis.wire.subjects import API_ALL
from memphis_broker.config import Durability
from memphis_broker.engine.accounts import (
    BROKER_ACCOUNT,
    BROKER_USER,
    CLIENTS_ACCOUNT,
    CLIENTS_USER,
    SYSTEM_ACCOUNT,
    SYSTEM_USER,
    EngineSecrets,
)

LOG_SIZE_MAX: Final = 10 * 1024 * 1024
LOG_FILES_MAX: Final = 3
_RANDOM_PORT: Final = -1

_ESCAPED = re.compile(r'[\x00-\x1f\x7f"\\]')


@dataclass(frozen=True, kw_only=True)
class EmbeddedEngineConfig:
    """What an embedded engine is told."""

    host: str
    port: int
    """0 for any free one."""
    server_name: str
    store_dir: Path
    log_file: Path
    ports_file_dir: Path
    debug: bool
    durability: Durability
    max_disk: int
    max_memory: int | None
    max_message_size: int
    original_sdks: bool = True
    """Whether the original's SDKs are served."""


def quoted(text: str) -> str:
    """``text`` as a string of the engine's configuration language."""
    # The escapes name bytes; all others, also beyond ASCII, stand for themselves.
    return '"' + _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02X}", text) + '"'


def accounts_text(secrets: EngineSecrets, *, original_sdks: bool = True) -> str:
    """The accounts, the broker's users in them, and who answers logins.

    ``share: true`` is what makes a request carry its authenticated user into the broker's account.
    With ``original_sdks`` the requests of the original's SDKs reach the broker as well, and so do the
    messages that they produce, because a stock engine knows nothing of their ``msg-id``.
    """
    requests = [API_ALL, *(legacy.REQUESTS if original_sdks else ())]
    imports = ", ".join(
        f"{{service: {{account: {BROKER_ACCOUNT}, subject: {quoted(subject)}}}, share: true}}"
        for subject in requests
    )
    exports = ", ".join(
        f"{{service: {quoted(subject)}, accounts: [{CLIENTS_ACCOUNT}]}}" for subject in requests
    )
    mapping = f"{quoted(legacy.PRODUCED_ALL)}: {quoted(legacy.PRODUCED_INGEST)}"
    mappings = f"    mappings: {{{mapping}}}\n" if original_sdks else ""
    users = ", ".join(quoted(user) for user in (CLIENTS_USER, BROKER_USER, SYSTEM_USER))
    return f"""\
accounts {{
  {CLIENTS_ACCOUNT} {{
    jetstream: enabled
    users: [{_user(CLIENTS_USER, secrets.clients_password)}]
    imports: [{imports}]
{mappings}  }}
  {BROKER_ACCOUNT} {{
    jetstream: enabled
    users: [{_user(BROKER_USER, secrets.broker_password)}]
    exports: [{exports}]
  }}
  {SYSTEM_ACCOUNT} {{
    users: [{_user(SYSTEM_USER, secrets.system_password)}]
  }}
}}
system_account: {SYSTEM_ACCOUNT}
authorization {{
  auth_callout {{
    issuer: {quoted(secrets.issuer_public_key)}
    account: {BROKER_ACCOUNT}
    auth_users: [{users}]
  }}
}}
"""


def embedded_config_text(config: EmbeddedEngineConfig, secrets: EngineSecrets) -> str:
    """The whole configuration of an embedded engine."""
    always = config.durability is Durability.ALWAYS
    max_memory = "" if config.max_memory is None else f"  max_mem: {config.max_memory}\n"
    return f"""\
host: {quoted(config.host)}
port: {config.port or _RANDOM_PORT}
server_name: {quoted(config.server_name)}
ports_file_dir: {quoted(str(config.ports_file_dir))}
log_file: {quoted(str(config.log_file))}
logfile_size_limit: {LOG_SIZE_MAX}
logfile_max_num: {LOG_FILES_MAX}
debug: {"true" if config.debug else "false"}
max_payload: {config.max_message_size}
jetstream {{
  store_dir: {quoted(str(config.store_dir))}
  max_file: {config.max_disk}
{max_memory}  sync_interval: {quoted("always" if always else "1s")}
  limits {{ default_max_consumers: -1 }}
}}
{accounts_text(secrets, original_sdks=config.original_sdks)}"""


def _user(name: str, password: str) -> str:
    return f"{{user: {quoted(name)}, password: {quoted(password)}}}"
