"""The rules of the house that no linter knows, each a pure function over one parsed file.

A rule takes a :class:`SourceFile` and yields the lines that break it. `test_rules.py` shows for
each that it catches a violation and leaves good code alone; `test_tree.py` runs them all over the
project. An exception to a rule stands here, by name, with its reason; nowhere else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

PRINTERS = {"src/memphis_broker/cli/_output.py"}

NATS_PY_IMPORTERS = ("src/memphis_broker/engine/",)

SUBJECT_SPELLERS = ("src/memphis/wire/",)

# Supervisors: each keeps something running whatever a callee raises, and logs it.
SUPERVISORS: dict[str, set[str]] = {
    # An application's code must not stop the SDK's.
    "src/memphis/_core/sending.py": {"StationSender._report"},
    "src/memphis/consumer.py": {"Consumer._handle"},
    # One callback of many must not keep the others from being called.
    "src/memphis/transport/incoming.py": {"Incoming._call"},
    "src/memphis/transport/listeners.py": {"Listeners._tell"},
    "src/memphis/transport/puller.py": {"_Slot.end"},
    # Whatever goes wrong with a connection ends in a new one.
    "src/memphis/transport/link.py": {"Link.data_received"},
    "src/memphis/transport/reconnect.py": {"Reconnector._run"},
    # A request that meets a fault is answered, and the next one is served.
    "src/memphis_broker/api/edge.py": {"Edge.answer"},
    "src/memphis_broker/legacy/edge.py": {"LegacyEdge._answer"},
    "src/memphis_broker/engine/endpoints.py": {"Endpoints._serve"},
    # A login that meets a fault is refused, and the next one is decided.
    "src/memphis_broker/engine/callout.py": {"AuthCallout._answer"},
    # One piece of work must not keep the others from being done.
    "src/memphis_broker/dead_letters/piecework.py": {"Piecework._see_to"},
    # Work that goes on by itself goes on.
    "src/memphis_broker/workers.py": {"Worker._run"},
    # A broker that gave up would help nobody; every part of it is stopped.
    "src/memphis_broker/server.py": {"Server._start_again", "_Session.close"},
}

SLEEPERS = {"tests/waiting.py"}


@dataclass(frozen=True)
class SourceFile:
    """One Python file, by its path from the root of the project."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_source(self) -> bool:
        return self.path.startswith("src/")

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")


@dataclass(frozen=True)
class Violation:
    """One place that breaks a rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


Rule = Callable[[SourceFile], Iterator[Violation]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def no_print(file: SourceFile) -> Iterator[Violation]:
    """Only the command line's output module talks to the terminal."""
    if not file.is_source or file.path in PRINTERS:
        return
    for node in ast.walk(file.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            yield Violation(
                file.path, node.lineno, "print() outside cli/_output.py; log, or return it"
            )


def no_error_text_read(file: SourceFile) -> Iterator[Violation]:
    """No program reads the text of an error: it compares classes and codes."""
    if not file.is_source:
        return
    for handler in ast.walk(file.tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        for node in ast.walk(handler):
            if _reads_text_of(node, handler.name):
                yield Violation(
                    file.path, node.lineno, "the text of an error is read; use its class or code"
                )


_TEXT_METHODS = {"startswith", "endswith", "find", "index", "count", "split", "lower", "partition"}
_SEARCHES = {"search", "match", "fullmatch", "findall"}


def _reads_text_of(node: ast.AST, name: str) -> bool:
    """Whether the node compares, searches or takes apart ``str(name)`` or its like."""
    if isinstance(node, ast.Compare):
        return any(_is_text_of(part, name) for part in [node.left, *node.comparators])
    if isinstance(node, ast.Match):
        return _is_text_of(node.subject, name)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr in _TEXT_METHODS and _is_text_of(node.func.value, name):
        return True
    return node.func.attr in _SEARCHES and any(_is_text_of(part, name) for part in node.args)


def _is_text_of(node: ast.AST, name: str) -> bool:
    """Whether the node is ``str(e)``, ``repr(e)``, ``f"{e}"``, ``e.args`` or a method of one."""
    match node:
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=found)]):
            return found == name
        case ast.Call(func=ast.Attribute(value=inner)) | ast.Subscript(value=inner):
            return _is_text_of(inner, name)
        case ast.Attribute(value=ast.Name(id=found), attr="args"):
            return found == name
        case ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id=found))]):
            return found == name
    return False


def no_subject_spelled(file: SourceFile) -> Iterator[Violation]:
    """The protocol's words are spelled in memphis.wire and nowhere else."""
    if not file.is_source or file.path.startswith(SUBJECT_SPELLERS):
        return
    docstrings = {id(node) for node in _docstrings(file.tree)}
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        value = node.value
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str) and "$memphis" in value.lower():
            yield Violation(file.path, node.lineno, "a $memphis word spelled outside memphis/wire")


def no_nats_py(file: SourceFile) -> Iterator[Violation]:
    """nats-py is the business of the engine package alone."""
    if not file.is_source or file.path.startswith(NATS_PY_IMPORTERS):
        return
    for node in ast.walk(file.tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        if any(module.split(".")[0] == "nats" for module in modules):
            yield Violation(
                file.path, node.lineno, "nats-py imported outside memphis_broker/engine"
            )


def no_broad_except(file: SourceFile) -> Iterator[Violation]:
    """Only a named supervisor may catch everything, and it logs; cleaning up and raising is free."""
    if not file.is_source:
        return
    allowed = SUPERVISORS.get(file.path, set())
    for owner, handler in swallowers(file):
        if owner not in allowed:
            text = f"{owner or 'the module'} catches everything and is not named in SUPERVISORS"
            yield Violation(file.path, handler.lineno, text)
        elif not _logs(handler):
            text = f"{owner} catches everything and does not log it with its traceback"
            yield Violation(file.path, handler.lineno, text)


def swallowers(file: SourceFile) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Every except clause that catches everything and does not raise it again at its end."""
    for owner, handler in _handlers(file.tree, ""):
        last = handler.body[-1]
        raises_again = isinstance(last, ast.Raise) and last.exc is None
        if _is_broad(handler.type) and not raises_again:
            yield owner, handler


def _logs(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == "exception" for node in ast.walk(handler)
    )


def _handlers(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Every except clause under ``node``, with the dotted name of the function it stands in."""
    for child in ast.iter_child_nodes(node):
        inside = owner
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{owner}.{child.name}" if owner else child.name
        elif isinstance(child, ast.ExceptHandler):
            yield owner, child
        yield from _handlers(child, inside)


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"} for name in names
    )


def file_fits_in_the_head(file: SourceFile) -> Iterator[Violation]:
    """A file has a length that one can read."""
    lines = file.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield Violation(file.path, FILE_LINES_MAX, f"{lines} lines; at most {FILE_LINES_MAX}")


def function_fits_in_the_head(file: SourceFile) -> Iterator[Violation]:
    """A function has a length that one can see."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
        if lines > FUNCTION_LINES_MAX:
            yield Violation(
                file.path,
                node.lineno,
                f"{node.name} has {lines} lines of code; at most {FUNCTION_LINES_MAX}",
            )


def _docstring_lines(node: Function) -> int:
    docstring = _docstring_of(node)
    return 0 if docstring is None else (docstring.end_lineno or 0) - docstring.lineno + 1


def documented(file: SourceFile) -> Iterator[Violation]:
    """Every module, public class and public function in src says what it is for."""
    if not file.is_source:
        return
    if file.tree.body and _docstring_of(file.tree) is None:
        yield Violation(file.path, 1, "the module has no docstring")
    for node in _public_definitions(file.tree):
        if _docstring_of(node) is None:
            yield Violation(file.path, node.lineno, f"{node.name} has no docstring")


def _public_definitions(scope: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or _documented_elsewhere(node):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public_definitions(node)


def _documented_elsewhere(node: Function | ast.ClassDef) -> bool:
    """An override and an overload are described where they come from, a setter by its getter."""
    for decorator in node.decorator_list:
        match decorator:
            case (
                ast.Name(id="override" | "overload")
                | ast.Attribute(attr="override" | "overload" | "setter" | "deleter")
            ):
                return True
    return False


def _docstring_of(node: ast.AST) -> ast.Constant | None:
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
        return None
    value = body[0].value
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Docstrings, and the strings that describe an attribute below it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def no_fixed_sleep(file: SourceFile) -> Iterator[Violation]:
    """A test waits for a condition, never for a duration."""
    if not file.is_test or file.path in SLEEPERS:
        return
    for node in ast.walk(file.tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=[duration, *_]
            ) if _is_above_zero(duration):
                yield Violation(file.path, node.lineno, "a fixed sleep; use tests/waiting.py")


def _is_above_zero(node: ast.expr) -> bool:
    """Whether this is a number above zero; a sleep of zero gives other tasks a turn, no more."""
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > 0


# Written in pieces, so that this file does not contain what it forbids.
_REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs"),
            ("deb", "debian", "org"),
            ("archive", "ubuntu", "com"),
            ("crates", "io"),
        )
    ),
    re.IGNORECASE,
)
_MACHINE_PATHS = re.compile(r"(?<![A-Za-z0-9_.<~-])/(?:work|farm|root|home|Users)/")


def speaks_only_of_itself(file: SourceFile) -> Iterator[Violation]:
    """No file names a package registry's host or a path of the machine it was written on."""
    for number, line in enumerate(file.text.splitlines(), start=1):
        if _REGISTRY_HOSTS.search(line):
            yield Violation(file.path, number, "names a package registry's host")
        if _MACHINE_PATHS.search(line):
            yield Violation(file.path, number, "names a path of one machine")


PYTHON_RULES: tuple[Rule, ...] = (
    no_print,
    no_error_text_read,
    no_subject_spelled,
    no_nats_py,
    no_broad_except,
    file_fits_in_the_head,
    function_fits_in_the_head,
    documented,
    no_fixed_sleep,
)
"""Rules over a parsed Python file."""

TEXT_RULES: tuple[Rule, ...] = (speaks_only_of_itself,)
"""Rules over the text of any file."""
