"""A program that answers questions in JSON lines: started once, watched, killed when it hangs (used by `process`)."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import IO, Any

_TAIL = 4000  # bytes of standard error kept for the error message
_LONGEST_LINE = 2**20  # of an answer; what is longer is cut, and its pieces are no answers
_GLANCE = 0.5  # seconds between two looks at whether the program still lives
_FAREWELL = 2.0  # seconds that it gets to end by itself once its input is closed


class ProgramError(Exception):
    """The program could not be started, ended, or did not answer in time."""


class Program:
    r"""Sends requests as JSON lines to a program and yields its answers, in whatever order they come.

    The program reads one JSON object per line from standard input, each with an `id` of ours, and writes one object
    with the same `id` for each to standard output. An empty line means that nothing follows until all are answered.
    Lines that are no such object, answers to ids that are not asked (any more), and second answers are ignored.

    It is started at the first request and lives until `close`, until it fails, or until this process ends. All pipes
    are served by threads, so that neither side can block the other, on any system.

    Args:
        command: program and arguments.
        folder: its working directory; None: this process's.
        environment: variables set in addition to those of this process.
        timeout: seconds to wait for the next answer.
        start_timeout: the same for the first answer after a start, when models are loaded.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        start_timeout: float = 600.0,
    ) -> None:
        self._command, self._folder = list(command), folder
        self._environment = {**os.environ, **(environment or {})}
        self._timeout, self._start_timeout = timeout, start_timeout
        self._ids = count()  # never used twice, also not after a restart
        self._running: _Running | None = None
        self._stop: weakref.finalize | None = None

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index of the request, answer) for each request; starts the program where it is not running.

        Raises:
            ProgramError: it failed; it is gone then, and what was not yielded is unanswered.
        """
        try:
            running = self._running or self._start()
            waiting = {next(self._ids): index for index in range(len(requests))}
            lines = [json.dumps({"id": id, **requests[index]}) for id, index in waiting.items()]
            running.send(("\n".join(lines) + "\n\n").encode("ascii"))
            while waiting:
                answer = running.receive(self._timeout if running.answered else self._start_timeout)
                id = answer.get("id")
                # bool is an int to Python, and ids of other types need not be hashable.
                if type(id) is int and id in waiting:
                    running.answered = True
                    yield waiting.pop(id), answer
        except BaseException as error:  # also where the caller does not finish: answers on their way are not for others
            self.close(0 if isinstance(error, ProgramError) else _FAREWELL)
            raise

    def close(self, farewell: float = _FAREWELL) -> None:
        """Let the program end by itself for that many seconds, then kill it; it starts anew when asked again."""
        if self._stop is not None:
            self._stop.detach()
        running, self._running, self._stop = self._running, None, None
        if running is not None:
            running.end(farewell)

    def _start(self) -> _Running:
        try:
            self._running = _Running(self._command, self._folder, self._environment)
        except OSError as error:
            raise ProgramError(f"it cannot be started ({error})") from error
        self._stop = weakref.finalize(self, self._running.end, _FAREWELL)
        return self._running


class _Running:
    """One life of the program: its process and the threads at its three pipes."""

    def __init__(self, command: list[str], folder: Path | None, environment: dict[str, str]) -> None:
        # A group of its own, so that the children of a wrapper script can be killed with it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=os.name == "posix",
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self.answered = False
        self._input: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # b"" is the end
        self._tail: deque[int] = deque(maxlen=_TAIL)
        self._errors = _thread(_drain, self._process.stderr, self._tail)
        _thread(_write, self._process.stdin, self._input)
        _thread(_read, self._process.stdout, self._lines)

    def send(self, data: bytes) -> None:
        self._input.put(data)

    def receive(self, timeout: float) -> dict[str, Any]:
        """Return the next line that is a JSON object."""
        deadline = time.monotonic() + timeout
        ended = False
        while True:
            left = deadline - time.monotonic()
            try:
                line = self._lines.get(timeout=max(0.0, min(left, _GLANCE)))
            except queue.Empty:
                if ended:  # a second look, because the last lines may have come between the first look and the end
                    raise ProgramError(self._epitaph()) from None
                ended = self._process.poll() is not None
                if left <= 0 and not ended:
                    raise ProgramError(f"it gave no answer in {timeout:g} s{self._last_words()}") from None
                continue
            if not line:
                raise ProgramError(self._epitaph())
            answer = _parse(line)
            if answer is not None:
                return answer

    def end(self, farewell: float) -> None:
        """Close the program's input, wait, and kill what is left."""
        self._input.put(None)
        try:
            self._process.wait(farewell)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()

    def _kill(self) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def _epitaph(self) -> str:
        try:
            status = self._process.wait(_GLANCE)
        except subprocess.TimeoutExpired:
            return f"it closed its output{self._last_words()}"
        return f"it ended with exit status {status}{self._last_words()}"

    def _last_words(self) -> str:
        """The end of standard error, in ASCII."""
        self._errors.join(_GLANCE)
        text = bytes(self._tail.copy()).decode("utf-8", "replace").strip()
        printable = "\n".join(ascii(line)[1:-1] for line in text.splitlines())
        return f"; the end of its standard error:\n{printable}" if text else "; it wrote nothing to standard error"


def _thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _write(pipe: IO[bytes], chunks: queue.SimpleQueue[bytes | None]) -> None:
    try:
        with pipe:
            while (chunk := chunks.get()) is not None:
                pipe.write(chunk)
                pipe.flush()
    except OSError:
        pass  # the program is gone; its output says so


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    with pipe:
        while line := pipe.readline(_LONGEST_LINE):
            lines.put(line)
    lines.put(b"")


def _drain(pipe: IO[bytes], tail: deque[int]) -> None:
    with pipe:
        while chunk := pipe.read1(2**16):  # type: ignore[attr-defined]  # BufferedReader has it
            tail.extend(chunk)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
