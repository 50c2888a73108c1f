"""The synchronous face in programs of its own: forks, Ctrl-C, and programs that forget to close."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

from memphis.sync import Memphis
from memphis_broker.testing import BrokerProcess

BEGIN = """
import os, signal, sys, threading
from memphis import MemphisUsageError
from memphis.sync import Memphis

memphis = Memphis()
memphis.connect("{host}", "root", password="memphis", port={port}, timeout_ms=10000)
"""
LONG_S = 60.0


def program(text: str, broker: BrokerProcess, **names: str) -> list[str]:
    """What runs a program that has connected before."""
    begin = BEGIN.format(host=broker.host, port=broker.port)
    return [sys.executable, "-c", begin + textwrap.dedent(text).format(**names)]


def run(text: str, broker: BrokerProcess, **names: str) -> list[str]:
    """Run such a program to its end; the lines that it printed."""
    outcome = subprocess.run(
        program(text, broker, **names), capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout.splitlines()


def stored(broker: BrokerProcess, name: str) -> int:
    """How many messages the station holds."""
    with Memphis() as memphis:
        memphis.connect(broker.host, "root", password="memphis", port=broker.port)
        return memphis.existing_station(name).info().messages


def test_a_forked_child_is_told(broker: BrokerProcess, name: str):
    """Every call but close() raises there, even what was under way; the parent goes on; a new one works."""
    lines = run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork with threads
        producer = memphis.producer("{name}", "p", on_error=print)
        consumer = memphis.consumer("{name}", "c")
        for number in range(2000):
            producer.produce("x", nonblocking=True)
        child = os.fork()
        if not child:
            calls = [
                memphis.stations, producer.flush, lambda: producer.produce("x"), consumer.fetch,
                lambda: producer.produce("x", nonblocking=True), lambda: next(iter(consumer)),
                lambda: memphis.connect("localhost", "root"), lambda: consumer.consume(print),
                producer.destroy, consumer.destroy,
            ]
            for call in calls:
                try:
                    call()
                except MemphisUsageError as error:
                    assert "after the fork" in str(error), error
                else:
                    raise AssertionError(call)
            assert not memphis.is_connected()
            memphis.close()
            with Memphis() as own:
                own.connect("{host}", "root", password="memphis", port={port})
                own.produce("{name}", "child", "x")
            print("the child is done", flush=True)
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        producer.produce("x")
        memphis.close()
        print("the parent is done")
        """,
        broker,
        name=name,
        host=broker.host,
        port=str(broker.port),
    )
    assert lines == ["the child is done", "the parent is done"]
    assert stored(broker, name) == 2002


def test_a_program_that_forgets_to_close_ends(broker: BrokerProcess, name: str):
    """With a handler and an error callback that have threads."""
    lines = run(
        """
        memphis.producer("{name}", "p", on_error=print).produce("x")
        handled = threading.Event()
        def handler(messages, error, context):
            for message in messages:
                message.ack()
                handled.set()
        memphis.consumer("{name}", "c").consume(handler)
        assert handled.wait(30)
        print("done")
        """,
        broker,
        name=name,
    )
    assert lines == ["done"]


def test_ctrl_c_interrupts_what_waits(broker: BrokerProcess, name: str):
    """KeyboardInterrupt comes out of a call that waits, ``with`` closes, and no message is lost."""
    text = """
        memphis.produce("{name}", "p", "1")
        with memphis:
            consumer = memphis.consumer("{name}", "c")
            try:
                for message in consumer:
                    message.ack()
                    print("waiting", flush=True)
            except KeyboardInterrupt:
                print("interrupted", memphis.is_connected(), flush=True)
            memphis.produce("{name}", "p", "2")
            print(next(iter(consumer)).get_data().decode())
        assert threading.active_count() == 1
        """
    process = subprocess.Popen(
        program(text, broker, name=name),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert out == "interrupted True\n2\n"


def test_ctrl_c_that_nobody_catches_ends_the_program(broker: BrokerProcess, name: str):
    """As in any program; what was produced is stored first, by ``with``."""
    text = """
        with memphis:
            producer = memphis.producer("{name}", "p")
            for number in range(1000):
                producer.produce("x", nonblocking=True)
            print("waiting", flush=True)
            for message in memphis.consumer("{name}-other", "c"):
                pass
        """
    process = subprocess.Popen(
        program(text, broker, name=name),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert stored(broker, name) == 1000
