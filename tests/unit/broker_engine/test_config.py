"""Settings: which source wins, what is refused, and how it is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis_broker.config import (
    ConfigError,
    Durability,
    Settings,
    is_loopback,
    load_settings,
    parse_size,
)


def test_the_defaults() -> None:
    """With nothing said a broker serves this machine on the documented port."""
    settings = load_settings({}, {})
    assert (settings.host, settings.port) == ("127.0.0.1", 6666)
    assert settings.durability is Durability.STANDARD
    assert settings.root_password.get_secret_value() == "memphis"
    assert settings.connection_token is None


@pytest.mark.parametrize(
    ("flag", "variable", "key", "expected"),
    [
        (1, "2", 3, 1),
        (None, "2", 3, 2),
        (None, None, 3, 3),
        (None, None, None, 6666),
        (1, None, None, 1),
        (None, "", 3, 3),
    ],
)
def test_precedence(
    tmp_path: Path, flag: int | None, variable: str | None, key: int | None, expected: int
) -> None:
    """A flag beats the environment, that beats the file, that beats the default."""
    file = tmp_path / "memphis.toml"
    file.write_text("" if key is None else f"port = {key}\n")
    environment = {} if variable is None else {"MEMPHIS_PORT": variable}
    assert load_settings({"port": flag}, environment, file).port == expected
    environment["MEMPHIS_CONFIG"] = str(file)
    assert load_settings({"port": flag}, environment).port == expected


def test_a_secret_file_counts_as_its_source(tmp_path: Path) -> None:
    """A password file given by flag beats a password in the environment, and the reverse."""
    file = tmp_path / "password"
    file.write_text("from file\r\n")
    flags = {"root_password_file": str(file)}
    settings = load_settings(flags, {"MEMPHIS_ROOT_PASSWORD": "from environment"})
    assert settings.root_password.get_secret_value() == "from file"
    settings = load_settings(
        {"root_password": "from flag"}, {"MEMPHIS_ROOT_PASSWORD_FILE": str(file)}
    )
    assert settings.root_password.get_secret_value() == "from flag"


def test_a_secret_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    """Giving both in one place is a contradiction."""
    file = tmp_path / "token"
    file.write_text("x")
    with pytest.raises(ConfigError, match="not both"):
        load_settings({"connection_token": "x", "connection_token_file": str(file)}, {})


def test_other_variables_are_left_alone() -> None:
    """The environment may hold what belongs to other programs."""
    assert load_settings({}, {"MEMPHIS_USERNAME": "x", "PORT": "1"}).port == 6666


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "broker.example.com"])
def test_the_default_password_is_for_this_machine_only(host: str) -> None:
    """Listening for others needs a password of one's own."""
    with pytest.raises(ConfigError, match="default root password"):
        load_settings({"host": host}, {})
    with pytest.raises(ConfigError, match="default root password"):
        load_settings({"host": host, "root_password": "memphis"}, {})
    assert load_settings({"host": host, "root_password": "other"}, {}).host == host


@pytest.mark.parametrize(
    ("urls", "loopback"),
    [
        ("nats://127.0.0.1:4222", True),
        ("localhost,tls://[::1]:4222,user:password@127.0.0.2", True),
        ("nats://192.0.2.1:4222", False),
        ("nats://127.0.0.1,nats://192.0.2.1", False),
        ("nats://127.0.0.1@broker.example.com", False),
        ("nats://[", False),
    ],
)
def test_the_default_password_is_not_for_the_logins_of_a_cluster(urls: str, loopback: bool) -> None:
    """Whoever reaches an engine whose logins are decided here could try the default."""
    flags = {"engine": urls, "engine_secrets": "secrets.toml"}
    if loopback:
        assert load_settings(flags, {}).engine == urls
    else:
        with pytest.raises(ConfigError, match="default root password"):
            load_settings(flags, {})
    assert load_settings({**flags, "root_password": "other"}, {}).engine == urls
    assert load_settings({"engine": urls}, {}).engine == urls, "an open engine decides by itself"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("LOCALHOST", True), ("0.0.0.0", False), ("10.0.0.1", False), ("example.com", False),
        ("localhost.example.com", False),
    ],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    """Only what surely stays on this machine counts as loopback."""
    assert is_loopback(host) is expected


def test_brackets_of_ipv6_are_taken_off() -> None:
    """An IPv6 address may be written as in a URL."""
    assert load_settings({"host": "[::1]"}, {}).host == "::1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("2KB", 2048), ("3 MB", 3 * 2**20), ("20GB", 20 * 2**30), ("1tib", 2**40), ("5g", 5 * 2**30)],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    """Units are powers of 1024, in any case."""
    assert parse_size(text) == expected


@given(st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    """No text makes anything but a size or a ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(parse_size(text), int)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields, "root_password_file", "nonsense"]),
        st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text(), max_size=2)),
    )
)
def test_anything_is_settings_or_a_clear_refusal(flags: dict[str, object]) -> None:
    """Whatever is given makes settings, or a refusal that is not empty."""
    refusal = ""
    try:
        load_settings(flags, {})
    except ConfigError as error:
        refusal = str(error) or "empty"
    assert refusal != "empty"


def test_secrets_do_not_show() -> None:
    """Neither settings nor a refusal show a password or token."""
    settings = load_settings({"root_password": "hidden-1", "connection_token": "hidden-2"}, {})
    assert "hidden" not in repr(settings) + str(settings)
    with pytest.raises(ConfigError) as refused:
        load_settings({"root_password": ["hidden-3"]}, {})
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("key", ["host", "port", "data_dir", "max_disk", "nats_server"])
def test_what_an_attached_engine_cannot_honour_is_refused(key: str) -> None:
    """A setting of an own engine together with another's would silently do nothing."""
    value = {"port": 1, "host": "::1"}.get(key, "1")
    with pytest.raises(ConfigError, match=key.replace("_", "-")):
        load_settings({"engine": "nats://127.0.0.1", key: value}, {})
    assert load_settings({"engine": "nats://a"}, {f"MEMPHIS_{key.upper()}": str(value)}).engine


def test_several_engine_urls() -> None:
    """Commas separate the servers of a cluster."""
    settings = load_settings({"engine": "nats://a:1, nats://b:2,"}, {})
    assert settings.engine_urls == ["nats://a:1", "nats://b:2"]
