"""The fixtures of all tests, each defined in its own file."""

import signal

pytest_plugins = [
    "tests.fixtures.engine",
    "tests.fixtures.proxy",
    "tests.fixtures.stranger",
    "tests.fixtures.transport",
    "tests.fixtures.broker",
    "tests.fixtures.sdk",
    "tests.fixtures.original_api",
    "tests.fixtures.original_broker",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is in a shell's background job, whose children would inherit it and not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
