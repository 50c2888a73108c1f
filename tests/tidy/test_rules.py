"""Each rule catches what it forbids and leaves good code alone."""

from __future__ import annotations

import pytest

from tests.tidy import rules
from tests.tidy.rules import Rule, SourceFile

SOURCE = "src/memphis/somewhere.py"
TEST = "tests/unit/test_somewhere.py"

BREAKING = [
    (rules.no_print, SOURCE, "print('hello')"),
    (rules.no_print, "src/memphis_broker/cli/station.py", "def f():\n    print('hello')"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if 'gone' in str(e): pass"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if str(e) == 'gone': pass"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    str(e).startswith('gone')"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if 'x' in str(e).lower(): 1"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if e.args[0] == 'x': pass"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    re.search('x', str(e))"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if 'x' in f'{e}': pass"),
    (
        rules.no_error_text_read,
        SOURCE,
        "try: f()\nexcept E as e:\n    match str(e):\n        case 'x': 1",
    ),
    (rules.no_subject_spelled, SOURCE, "subject = '$memphis.api.v1.station.create'"),
    (rules.no_subject_spelled, SOURCE, "subject = f'$memphis.members.{station}'"),
    (rules.no_subject_spelled, SOURCE, "subject = b'$memphis_updates'"),
    (rules.no_nats_py, SOURCE, "import nats"),
    (rules.no_nats_py, SOURCE, "def f():\n    from nats.js import api"),
    (rules.no_nats_py, "src/memphis_broker/stations/service.py", "import nats.errors as errors"),
    (rules.no_broad_except, SOURCE, "try: f()\nexcept Exception: pass"),
    (rules.no_broad_except, SOURCE, "def f():\n    try: g()\n    except: pass"),
    (rules.no_broad_except, SOURCE, "try: f()\nexcept (ValueError, BaseException): pass"),
    (rules.file_fits_in_the_head, SOURCE, "x = 1\n" * 501),
    (rules.function_fits_in_the_head, SOURCE, "def f():\n" + "    x = 1\n" * 70),
    (rules.function_fits_in_the_head, TEST, "async def test_f():\n" + "    x = 1\n" * 70),
    (rules.documented, SOURCE, "x = 1"),
    (rules.documented, SOURCE, "'''M.'''\ndef public(): pass"),
    (
        rules.documented,
        SOURCE,
        "'''M.'''\nclass Public:\n    '''C.'''\n    async def method(self): ...",
    ),
    (rules.no_fixed_sleep, TEST, "async def test_f(): await asyncio.sleep(0.5)"),
    (rules.no_fixed_sleep, TEST, "time.sleep(1)"),
    (rules.speaks_only_of_itself, "docs/a.md", "see https://" + "pypi" + ".org/project/x"),
    (rules.speaks_only_of_itself, "Makefile", "cd /" + "home/me/project"),
]

KEEPING = [
    (rules.no_print, "src/memphis_broker/cli/_output.py", "print('hello')"),
    (rules.no_print, SOURCE, "console.print('hello')"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    raise Other(str(e)) from e"),
    (rules.no_error_text_read, SOURCE, "try: f()\nexcept E as e:\n    if e.code == 2001: pass"),
    (rules.no_error_text_read, SOURCE, "if 'x' in str(value): pass"),
    (rules.no_subject_spelled, SOURCE, "'''About $memphis.api.v1.'''\nx = 1"),
    (rules.no_subject_spelled, "src/memphis/wire/subjects.py", "PREFIX = '$memphis.api.v1'"),
    (rules.no_nats_py, "src/memphis_broker/engine/client.py", "import nats"),
    (rules.no_nats_py, SOURCE, "from .nats import x\nimport natsort"),
    (rules.no_broad_except, SOURCE, "try: f()\nexcept (ValueError, OSError): pass"),
    (rules.no_broad_except, SOURCE, "try: f()\nexcept BaseException:\n    g()\n    raise"),
    (rules.file_fits_in_the_head, SOURCE, "x = 1\n" * 500),
    (rules.function_fits_in_the_head, SOURCE, "def f():\n" + "    x = 1\n" * 69),
    (
        rules.function_fits_in_the_head,
        SOURCE,
        "def f():\n    '''" + "\n" * 80 + "'''\n    return 1",
    ),
    (rules.documented, SOURCE, "'''M.'''\ndef _private(): pass"),
    (rules.documented, SOURCE, "'''M.'''\n@override\ndef public(): pass"),
    (rules.documented, SOURCE, ""),
    (rules.documented, TEST, "def helper(): pass"),
    (rules.no_fixed_sleep, TEST, "async def test_f(): await asyncio.sleep(0)"),
    (rules.no_fixed_sleep, "tests/waiting.py", "time.sleep(1)"),
    (rules.speaks_only_of_itself, "docs/a.md", "see docs/work/notes.md and $HOME/work/x"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREAKING)
def test_a_violation_is_caught(rule: Rule, path: str, text: str) -> None:
    """The rule finds this violation and says where it is."""
    found = list(rule(SourceFile(path, text)))
    assert found
    assert str(found[0]).startswith(f"{path}:")


@pytest.mark.parametrize(("rule", "path", "text"), KEEPING)
def test_good_code_passes(rule: Rule, path: str, text: str) -> None:
    """The rule leaves this alone."""
    assert not list(rule(SourceFile(path, text)))


def test_every_rule_is_shown_to_catch_and_to_spare() -> None:
    """A rule without an example of its own would be believed, not known."""
    everything = {*rules.PYTHON_RULES, *rules.TEXT_RULES}
    assert {rule for rule, _, _ in BREAKING} == everything
    assert {rule for rule, _, _ in KEEPING} == everything


def test_a_supervisor_is_named_with_the_function_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception holds for that function and not for its neighbour in the same file."""
    text = (
        "class Loop:\n    def run(self):\n        try: f()\n        except Exception: log.exception(1)\n"
        "    def other(self):\n        try: f()\n        except Exception: log.exception(1)\n"
    )
    monkeypatch.setitem(rules.SUPERVISORS, SOURCE, {"Loop.run"})
    [found] = rules.no_broad_except(SourceFile(SOURCE, text))
    assert found.line == 7


def test_a_supervisor_must_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be named is no leave to swallow in silence."""
    monkeypatch.setitem(rules.SUPERVISORS, SOURCE, {"run"})
    silent = "def run():\n    try: f()\n    except Exception: pass\n"
    assert list(rules.no_broad_except(SourceFile(SOURCE, silent)))
