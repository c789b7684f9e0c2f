"""Scores of a program outside: COMET, MetricX, or anything that reads JSON lines and writes scores."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.bridges.program import Program, ProgramError
from eclectus.rewards.text import excerpt, references_of
from eclectus.segment import Segment

_LOG = logging.getLogger(__name__)
_SURROGATES = re.compile("[\ud800-\udfff]")
_ATTEMPTS = 2  # for one batch without any answer between them
_Key = tuple[str, str, str, str, str | None]


class Process(Reward):
    r"""The score returned by a program of your own, mapped to [0, 1].

    $$r = \min\Big(1, \max\Big(0, \frac{s - \text{low}}{\text{high} - \text{low}}\Big)\Big)$$

    with s the program's score; where lower is better, `low` is the larger number (MetricX: low 25, high 0). Range
    [0, 1]. Abstains where the program does: a score that is missing, null, or no finite number.

    The program runs in its own environment, is started when first needed and kept running. It reads one JSON object per
    line from standard input and writes one object per line to standard output, in any order:

        {"id": 7, "source": "...", "hypothesis": "...", "source_lang": "de", "target_lang": "en", "reference": "..."}
        {"id": 7, "score": 0.83}

    `reference` is there with `references: true` only. An empty line means that nothing follows until all are answered,
    so a program may collect a batch up to there; one that judges line by line ignores it. Lines of output that are not
    an answer (a library's progress bar) are ignored too. Output must be flushed.

    If the program ends or does not answer in time, it is killed and restarted, and unanswered requests are sent again.
    `on_failure` decides about requests that still have no answer. After more than `restarts` failures in a row, without
    an answer in between, the run stops in any case, because a dead reward would change what the run optimises.

    Source: the protocol is this project's own. COMET: Rei et al. 2022, https://aclanthology.org/2022.wmt-1.52;
    CometKiwi: https://aclanthology.org/2022.wmt-1.60; MetricX: Juraska et al. 2024,
    https://aclanthology.org/2024.wmt-1.35.

    Example:
        >>> import sys
        >>> from eclectus.segment import Segment
        >>> program = "import sys, json\nfor line in sys.stdin:\n    if line.strip():\n        x = json.loads(line)\n" \
        ...     "        print(json.dumps({'id': x['id'], 'score': len(x['hypothesis'])}), flush=True)"
        >>> options = Process.Options(command=[sys.executable, "-c", program], high=10)
        >>> process = Process(options)
        >>> process([Segment("gato", "es", "en")] * 2, ["cat", "the cat"])
        [0.3, 0.7]
        >>> process.close()

    How it is cheated: as the metric is. Neural metrics are blind to some wrong-language output, to repetition at the
    end and to wrong names and numbers, and a policy finds that out: gate with `language`, `repetition`, `length` and
    `numbers`, and never judge the run by the metric that it was rewarded with.
    """

    class Options(Reward.Options):
        """The program, and what to do when it fails."""

        command: list[str] | str = Field(description="program and arguments; a string is split as a shell does")
        label: str = Field("external", description="what is measured, with version; stands in the signature")
        references: bool = Field(False, description="send references; the reward needs them then")
        low: float = Field(0.0, allow_inf_nan=False, description="score of the program that becomes 0")
        high: float = Field(1.0, allow_inf_nan=False, description="score of the program that becomes 1")
        timeout: float = Field(120.0, gt=0, description="seconds to wait for the next answer")
        start_timeout: float = Field(900.0, gt=0, description="the same for the first answer after a start")
        batch: int = Field(64, ge=1, description="requests sent at once")
        restarts: int = Field(3, ge=0, description="failures in a row, without an answer between, that are survived")
        on_failure: Literal["abstain", "stop"] = Field(
            "abstain", description="what becomes of a batch that fails twice: no judgement, or an error"
        )
        folder: Path | None = Field(None, description="working directory of the program")
        environment: dict[str, str] = Field(default_factory=dict, description="environment variables to set")
        cache: int = Field(100_000, ge=0, description="scores remembered over steps")

        @model_validator(mode="after")
        def _can_be_run(self) -> Process.Options:
            if self.low == self.high:
                raise ValueError("low and high must differ")
            if not self.words():
                raise ValueError("command is empty; give a program")
            return self

        def words(self) -> list[str]:
            """Return the command as a list."""
            if isinstance(self.command, list):
                return self.command
            return shlex.split(self.command, posix=os.name == "posix")

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        settings = self.options
        command = settings.words()
        if settings.references:
            self.requires = frozenset({"reference"})  # of this instance: it depends on an option
        if not _executable(command[0], settings.folder):
            raise ConfigError(
                f"reward 'process': there is no program {excerpt(command[0])} to run; "
                "give 'command' a full path, or install what it names"
            )
        self._program = Program(
            command, settings.folder, settings.environment, settings.timeout, settings.start_timeout
        )
        self._known: OrderedDict[_Key, Score] = OrderedDict()
        self._failures = 0

    @property
    def signature(self) -> str:
        """The label, the range, and whether references are used."""
        options = self.options
        label = "_".join(options.label.split())
        references = "yes" if options.references else "no"
        return f"process|{label}|range:{options.low:g}..{options.high:g}|references:{references}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis; all that are not remembered are asked in batches.

        Raises:
            RunError: the program failed, see the class; the end of its standard error is quoted.
        """
        keys = [self._key(segment, text) for segment, text in zip(segments, hypotheses, strict=True)]
        found = {key: self._known[key] for key in keys if key in self._known}
        for key in found:
            self._known.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        for start in range(0, len(missing), self.options.batch):
            found |= self._judge(missing[start : start + self.options.batch])
        return [found.get(key) for key in keys]

    def reset(self) -> None:
        """Forget the remembered scores; the program goes on."""
        self._known.clear()

    def close(self) -> None:
        """End the program; it starts again when something is judged."""
        self._program.close()

    def _key(self, segment: Segment, hypothesis: str) -> _Key:
        reference = references_of(segment, self.name)[0] if self.options.references else None
        return segment.source, hypothesis, segment.source_lang, segment.target_lang, reference

    def _judge(self, keys: list[_Key]) -> dict[_Key, Score]:
        """Ask for one batch, after a failure once more for what is left of it."""
        found: dict[_Key, Score] = {}
        attempts = 0
        while len(found) < len(keys):
            left = [key for key in keys if key not in found]
            try:
                for index, answer in self._program.ask([_request(key) for key in left]):
                    found[left[index]] = self._remember(left[index], answer.get("score"))
                    self._failures = attempts = 0
            except ProgramError as error:
                self._failures += 1
                attempts += 1
                gives_up = attempts == _ATTEMPTS
                if self._failures > self.options.restarts or (gives_up and self.options.on_failure == "stop"):
                    raise RunError(
                        f"reward '{self.name}': the program {excerpt(' '.join(self.options.words()))} failed "
                        f"{self._failures} times in a row; repair it or raise 'timeout': {error}"
                    ) from error
                _LOG.warning("reward '%s': the program failed and is started again: %s", self.name, error)
                if gives_up:
                    _LOG.warning("reward '%s': %d hypotheses are not judged", self.name, len(keys) - len(found))
                    break
        return found

    def _remember(self, key: _Key, score: Any) -> Score:
        value: Score = None
        if isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= 1e300:  # not nan, not inf
            low, high = self.options.low, self.options.high
            value = min(1.0, max(0.0, (score - low) / (high - low)))
        self._known[key] = value
        while len(self._known) > self.options.cache:
            self._known.popitem(last=False)
        return value


def _request(key: _Key) -> dict[str, str]:
    source, hypothesis, source_lang, target_lang, reference = key
    request = {"source": source, "hypothesis": hypothesis, "source_lang": source_lang, "target_lang": target_lang}
    if reference is not None:
        request["reference"] = reference
    # Half a surrogate pair is no text to most readers of JSON.
    return {name: _SURROGATES.sub("\ufffd", value) for name, value in request.items()}


def _executable(program: str, folder: Path | None) -> bool:
    if shutil.which(program):
        return True
    return folder is not None and shutil.which(str(folder / program)) is not None
