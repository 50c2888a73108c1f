"""The fixtures of all tests, each defined in its own file."""

pytest_plugins = [
    "tests.fixtures.engine",
    "tests.fixtures.proxy",
    "tests.fixtures.stranger",
    "tests.fixtures.transport",
    "tests.fixtures.broker",
    "tests.fixtures.sdk",
]
