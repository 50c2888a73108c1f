"""What the broker can be told, and where it was told: flags, environment, TOML file, defaults.

First in the flow: the CLI collects flags, :func:`load_settings` joins the sources, everything else
receives one frozen :class:`Settings`. Invariant: a value that cannot be honoured is refused here,
with its key and its source, and a secret never shows in a ``repr``, an error or a log line.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from memphis.wire.models import DEAD_LETTER_AGE_MAX_S

ENVIRONMENT_PREFIX: Final = "MEMPHIS_"
DEFAULT_ROOT_PASSWORD: Final = "memphis"  # noqa: S105 - public by design: loopback only
DEFAULT_PORT: Final = 6666
MESSAGE_SIZE_MAX: Final = 64 * 1024 * 1024
"""The largest message any nats-server accepts."""
MESSAGE_SIZE_MIN: Final = 16 * 1024
"""What the broker and the engine say to each other has to fit, and a login that is granted takes 4 KB."""

_SECRETS: Final = ("root_password", "connection_token")
_EMBEDDED_ONLY: Final = (
    "host", "port", "data_dir", "max_disk", "max_memory", "max_message_size", "nats_server",
)  # fmt: skip
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,15})\s*([KMGT]?)(?:I?B)?", re.ASCII | re.IGNORECASE)
_IN_WORDS: Final = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "string_too_short": "it is empty",
    "string_type": "write a text",
    "too_short": "it is empty",
}
"""The common mistakes, by pydantic's name of them; its own words are for programmers."""
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII | re.IGNORECASE)


class StartupError(Exception):
    """The broker cannot start or go on; the text is one line for the person who started it.

    Attributes:
        exit_code: What the process ends with.
    """

    exit_code = 1


class ConfigError(StartupError):
    """A setting cannot be honoured; the text names the key and where it was set."""

    exit_code = 2


class Durability(Enum):
    """When the embedded engine has a message safely on disk."""

    STANDARD = "standard"
    """Written before the acknowledgement, synced every second: a power cut can cost a second."""
    ALWAYS = "always"
    """Synced before every acknowledgement: nothing acknowledged is lost, and it is slow."""
    FAST = "fast"
    """Acknowledged before it is written: a killed engine can lose what was just acknowledged."""


class LogFormat(Enum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class WebhookFormat(Enum):
    """How the body of a notification looks."""

    GENERIC = "generic"
    """JSON for programs."""
    SLACK = "slack"
    """A text for an incoming webhook of Slack."""


class LogLevel(Enum):
    """The least important log line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def parse_size(value: object) -> object:
    """Bytes from a number or from text like ``20GB``; a unit is a power of 1024.

    Raises:
        ValueError: It is text that is no size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size; write a number of bytes or for example 20GB")
    return int(match[1]) * _UNITS[match[2].upper()]


def _check_host(value: object) -> object:
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]")
        if _address(value) is None and _HOST_NAME.fullmatch(value) is None:
            raise ValueError(f"{value!r} is neither an IP address nor a host name")
    return value


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether ``host`` surely reaches this machine alone.

    A host name other than ``localhost`` counts as reachable from outside: what it resolves to may
    change after it was checked.
    """
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _host_of(url: str) -> str:
    """The host in an engine's URL; empty, which is no loopback, where there is none."""
    try:
        return urlsplit(url if "://" in url else f"nats://{url}").hostname or ""
    except ValueError:
        return ""


def _check_web_address(value: object) -> object:
    if isinstance(value, str):
        try:
            parts = urlsplit(value)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            # Never the value: such addresses are secrets.
            raise ValueError("this is no web address; write for example https://example.org/hook")
    return value


Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Settings(BaseModel):
    """Everything about one broker that can be chosen, checked, and frozen.

    Flags are the field names with dashes, environment variables the names in upper case behind
    ``MEMPHIS_``, TOML keys the names themselves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: Annotated[str, BeforeValidator(_check_host)] = "127.0.0.1"
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    """0 lets the system choose; the line that announces the broker says which it is."""
    data_dir: Path = Field(default_factory=lambda: user_data_path("memphis"))
    durability: Durability = Durability.STANDARD
    max_disk: Size | None = None
    """Bytes that all stations may take on disk; None means 90 % of what is free at the start."""
    max_memory: Size | None = None
    """Bytes that stations in memory may take; None leaves it to the engine (75 % of memory)."""
    max_message_size: Annotated[
        int, BeforeValidator(parse_size), Field(ge=MESSAGE_SIZE_MIN, le=MESSAGE_SIZE_MAX)
    ] = 8 * 1024 * 1024
    dead_letter_age_max_s: int = Field(default=7 * 86_400, ge=1, le=DEAD_LETTER_AGE_MAX_S)
    dead_letter_count_max: int | None = Field(default=None, ge=1)
    """Of all stations; None: no limit."""
    dead_letter_webhook: Annotated[str, BeforeValidator(_check_web_address)] | None = None
    """Where to tell of new dead letters."""
    dead_letter_webhook_format: WebhookFormat = WebhookFormat.GENERIC
    legacy: bool = True
    """Whether the original's SDKs are served."""
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO
    nats_server: Path | None = None
    """The engine's binary; None means the one installed with the broker, else one on PATH."""
    engine: str | None = Field(default=None, min_length=1)
    """URLs of an existing NATS server or cluster, separated by commas; None starts an own one."""
    engine_secrets: Path | None = None
    root_password: Secret = SecretStr(DEFAULT_ROOT_PASSWORD)
    connection_token: Secret | None = None

    @property
    def engine_urls(self) -> list[str]:
        """The URLs of the engine to attach to; empty for an embedded one."""
        return [url.strip() for url in (self.engine or "").split(",") if url.strip()]

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.engine is None and self.engine_secrets is not None:
            raise ValueError("engine_secrets is for an engine attached to: set engine as well")
        if self.engine is not None and self.durability is Durability.ALWAYS:
            raise ValueError(
                "durability 'always' cannot be set for an attached engine: "
                "set 'sync_interval: always' in that server's own configuration"
            )
        if self.engine is not None and not self.engine_urls:
            raise ValueError("engine names no URL; write for example nats://127.0.0.1:4222")
        self._check_root_password()
        return self

    def _check_root_password(self) -> None:
        """The default is public: only who is on this machine may be able to try it."""
        if self.root_password.get_secret_value() != DEFAULT_ROOT_PASSWORD:
            return
        if self.engine is None:
            refused, others = "listen on", [self.host]
        elif self.engine_secrets is not None:
            refused, others = "decide the logins of", [_host_of(url) for url in self.engine_urls]
        else:
            return  # an open engine decides its logins by itself
        for host in others:
            if not is_loopback(host):
                raise ValueError(
                    f"refusing to {refused} {host or 'an engine'} with the default root password: "
                    "set --root-password, MEMPHIS_ROOT_PASSWORD or --root-password-file"
                )


class _Source:
    """One place that settings come from, and how it calls them."""

    def __init__(self, values: Mapping[str, Any], pattern: str) -> None:
        self.values = values
        self.pattern = pattern

    def describe(self, key: str) -> str:
        flag = "--" + key.replace("_", "-")
        return self.pattern.format(key=key, flag=flag, variable=ENVIRONMENT_PREFIX + key.upper())


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path | None = None
) -> Settings:
    """Join flags over environment over TOML file over defaults.

    Args:
        flags: By field name, also ``root_password_file`` and ``connection_token_file``; a value
            of None means "not given".
        environment: The process environment; variables that are no setting are left alone.
        config_file: The TOML file, else the one that ``MEMPHIS_CONFIG`` names.

    Raises:
        ConfigError: A key is unknown, a value cannot be used, or a file cannot be read.
    """
    path = config_file or (Path(name) if (name := environment.get("MEMPHIS_CONFIG")) else None)
    keys = {*Settings.model_fields, *(f"{name}_file" for name in _SECRETS)}
    sources = [
        _Source({k: v for k, v in flags.items() if v is not None}, "{flag}"),
        _Source(
            {k: v for k in keys if (v := environment.get(ENVIRONMENT_PREFIX + k.upper()))},
            "environment variable {variable}",
        ),
        _Source(_read_toml(path) if path else {}, f"key {{key}} in {path}"),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source in sources:
        for key in source.values:
            if key not in keys:
                near = difflib.get_close_matches(key.lower().replace("-", "_"), keys, 1)
                hint = f"; {near[0]} is one" if near else ""
                raise ConfigError(f"{source.describe(key)}: there is no such setting{hint}")
        for key, value in _with_secrets_read(source).items():
            if key not in values:
                values[key], origins[key] = value, source.describe(key)
    _refuse_embedded_only(values, origins)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the config file {path} is not valid TOML: {error}") from error


def _with_secrets_read(source: _Source) -> dict[str, Any]:
    """The values of a source, each ``<secret>_file`` replaced by the secret in that file."""
    values = dict(source.values)
    for name in _SECRETS:
        file_key = f"{name}_file"
        if file_key not in values:
            continue
        origin = source.describe(file_key)
        if name in values:
            raise ConfigError(f"{origin}: give either this or {source.describe(name)}, not both")
        file_name = values.pop(file_key)
        try:
            values[name] = Path(file_name).read_text(encoding="utf-8").rstrip("\r\n")
        except TypeError as error:
            raise ConfigError(f"{origin}: a file name is text") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{origin}: cannot read {file_name}: {error}") from error
        if not values[name]:
            raise ConfigError(f"{origin}: the file {file_name} is empty")
    return values


def _refuse_embedded_only(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Refuse what would silently do nothing with an attached engine.

    The environment is exempt: ``MEMPHIS_HOST`` may well be set for client commands.
    """
    if not values.get("engine"):
        return
    for key in _EMBEDDED_ONLY:
        if key in values and not origins[key].startswith("environment"):
            raise ConfigError(
                f"{origins[key]}: has no effect on an engine attached to with engine; leave it out"
            )


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    text = _IN_WORDS.get(first["type"], first["msg"]).removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    if not first["loc"]:
        return text
    key = str(first["loc"][0])
    return f"{origins.get(key, key)}: {text}"
