"""The protocol of the reward `process`: requests as JSON lines on standard input, scores on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

Request = dict[str, Any]
Judge = Callable[[list[Request]], list[float | None]]


def serve(judge: Judge) -> None:
    """Answer requests until standard input ends.

    Args:
        judge: takes a list of requests, dictionaries with "source", "hypothesis", "source_lang", "target_lang" and, if
            the reward sends them, "reference"; returns one score for each, a number or None.
    """
    # What libraries print must not stand between the answers: it goes to standard error from here on.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    requests: list[Request] = []
    for line in sys.stdin.buffer:
        if line.strip():
            requests.append(json.loads(line))
        else:  # nothing follows until these are answered
            _answer(requests, judge, answers)
            requests = []
    _answer(requests, judge, answers)


def _answer(requests: list[Request], judge: Judge, answers: IO[str]) -> None:
    if requests:
        scores = judge(requests)
        for request, score in zip(requests, scores, strict=True):
            answers.write(json.dumps({"id": request["id"], "score": score}) + "\n")
        answers.flush()
