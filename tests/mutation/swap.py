"""Run collected tests on one mutant after another: each in a forked process whose functions get the mutant's code.

Everything is imported and collected once. A function is one object however many modules have imported it, so giving it
another `__code__` changes it everywhere, and only in the process that does so: no file is ever touched.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.main import pytest_runtestloop as run_all

from tests.mutation.operators import Mutant

HANGS = "no end in sight"


def swap(mutant: Mutant) -> None:
    """Give the functions of an imported module the code of the mutant.

    Raises:
        LookupError: the mistake is in no function that is there to be changed.
    """
    module = importlib.import_module("eclectus." + mutant.module.removesuffix(".py").replace("/", "."))
    functions = dict(_functions(vars(module), module.__name__))
    changed = False
    for name, code in _codes(compile(mutant.source, str(module.__file__), "exec", dont_inherit=True)):
        if name in functions:
            changed |= _steps(functions[name].__code__) != _steps(code)
            functions[name].__code__ = code
    if not changed:
        raise LookupError(f"mutant '{mutant.name}' of {mutant.module} changes no function")


def _functions(names: dict[str, Any], module: str) -> Iterator[tuple[str, FunctionType]]:
    for value in names.values():
        value = value.fget if isinstance(value, property) else value
        while hasattr(value, "__wrapped__") or isinstance(value, staticmethod | classmethod):
            value = value.__wrapped__
        if getattr(value, "__module__", None) != module:
            continue
        if isinstance(value, FunctionType):
            yield value.__qualname__, value
        elif isinstance(value, type):
            yield from _functions(dict(vars(value)), module)


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield value.co_qualname, value
            yield from _codes(value)


def _steps(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it stands."""
    inner = tuple(_steps(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, inner


class _Loop:
    """Pytest plugin that runs the collected tests once for each mutant, and first for none."""

    def __init__(self, mutants: Sequence[Mutant], jobs: int, limit: float, say: Callable[[Mutant, str], None]) -> None:
        self._mutants, self._jobs, self._limit, self._say = mutants, jobs, limit, say
        self._failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed = self._failed or report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            raise RuntimeError(f"nothing to run, or what cannot be imported, in {session.config.args}")
        waiting: list[Mutant | None] = [*self._mutants[::-1], None]
        running: list[tuple[Mutant | None, Connection, Any, float]] = []
        passes = False
        while waiting or running:
            while waiting and len(running) < (self._jobs if passes else 1):
                running.append(self._start(session, waiting.pop()))
            wait([channel for _, channel, _, _ in running], timeout=1.0)
            for one in [*running]:
                mutant, channel, process, begun = one
                if not channel.poll() and time.monotonic() - begun < self._limit:
                    continue
                running.remove(one)
                killer: str | Exception = HANGS
                if channel.poll():
                    with contextlib.suppress(EOFError):
                        killer = channel.recv()
                process.kill()
                process.join()
                if isinstance(killer, Exception):
                    raise killer
                if mutant is not None:
                    self._say(mutant, killer)
                elif killer:
                    raise RuntimeError(f"the tests must pass on the source as it is; {killer}")
                passes = True
        return True

    def _start(self, session: pytest.Session, mutant: Mutant | None) -> tuple[Mutant | None, Connection, Any, float]:
        context = multiprocessing.get_context("fork")
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=self._test, args=(session, mutant, sending), daemon=True)
        process.start()
        sending.close()
        return mutant, receiving, process, time.monotonic()

    def _test(self, session: pytest.Session, mutant: Mutant | None, channel: Connection) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if mutant is not None:
            try:
                swap(mutant)
            except Exception as error:
                channel.send(error)
                return
        with contextlib.suppress(session.Failed, session.Interrupted):
            run_all(session)
        channel.send(self._failed)


def judge(
    tests: Sequence[str], mutants: Sequence[Mutant], jobs: int, limit: float, say: Callable[[Mutant, str], None]
) -> None:
    """Run tests on mutants; `say` is told each mutant and the test that failed, "" where none did.

    Raises:
        RuntimeError: the tests cannot be collected, or do not pass on the source as it is.
    """
    options = ["-x", "-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-o", "addopts=", "-m", "not slow"]
    code = pytest.main([*options, *tests], [_Loop(mutants, jobs, limit, say)])
    if code != 0:
        raise RuntimeError(f"pytest ended with {code!r} on {' '.join(tests)}")
