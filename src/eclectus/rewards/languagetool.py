"""Does a grammar checker find errors in the hypothesis?"""

from __future__ import annotations

import http.client
import json
import logging
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import langcodes
from pydantic import Field

from eclectus.errors import ConfigError, RunError, nearest
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.text import LINKS, PLACEHOLDERS, excerpt, subtag, units, words_only
from eclectus.segment import Segment

_log = logging.getLogger(__name__)

_CACHED_TEXTS = 2**16
_PARAGRAPH = "\n\n"
_PAUSE = 0.25  # seconds before the second attempt; doubled before each further one
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class LanguageTool(Reward):
    r"""How few errors of grammar and spelling a LanguageTool server finds for the length of the hypothesis.

    $$r = e^{-k E / W}$$

    with E the number of matches that the server returns outside placeholders, markup and links, W the number of words
    (characters in scripts without spaces), and k the option `weight`: at 5 one error in ten words costs 0.39. Range
    (0, 1]. Abstains on texts without words, in languages that the server does not know, and, with
    `on_failure: abstain`, where the server fails.

    The server is the user's own: `java -cp languagetool-server.jar org.languagetool.server.HTTPServer --port 8081`. It
    is asked for its languages when the run starts, and each text once while it is remembered, `workers` at a time.
    A request that fails or is refused for the moment is made `attempts` times. Tested against a server that speaks the
    protocol, not against LanguageTool itself.

    A request has a cost beside its text's. `batch` puts several texts of one language into one, as paragraphs: rules
    of a sentence do not cross them, and a match that touches two texts counts for neither. But LanguageTool's rules of
    the text level read all paragraphs: three sentences that begin with the same word, a bracket closed in another text,
    two spellings of one word are errors, or are none, by a text's company. Texts that follow each other in the call,
    such as the samples of a source, go to different requests for that reason. At 1 a value depends on its text alone.

    Source: Naber 2003, *A rule-based style and grammar checker*; protocol:
    https://languagetool.org/http-api/ (`/v2/languages`, `/v2/check`); texts parted by an empty line in one request:
    https://bitbucket.org/okapiframework/okapi/issues/234; text-level rules: `TextLevelRule` and its subclasses in
    https://github.com/languagetool-org/languagetool.

    Example:
        >>> LanguageTool.Options(language={"pt": "pt-PT"}).weight
        5.0
        >>> [round(value(errors, words=10, weight=5.0), 2) for errors in (0, 1, 3)]
        [1.0, 0.61, 0.22]

    How it is cheated: a short, plain sentence has no errors whatever the source says; rules see little in languages
    with few of them; longer texts dilute an error. Use it as a term of small weight beside a reward that reads the
    source, with the gate `length`.
    """

    class Options(Reward.Options):
        """The server, and what an error costs."""

        url: str = Field("http://localhost:8081", description="the server's address, without /v2")
        weight: float = Field(5.0, gt=0, description="what one error a word costs: r = exp(-weight * errors / words)")
        language: dict[str, str] = Field(
            default_factory=dict, description="the server's code for a tag of the run, where it differs: {ca: ca-ES}"
        )
        disabled_categories: list[str] = Field(
            default_factory=list, description="categories of rules that are not applied, such as TYPOGRAPHY, CASING"
        )
        timeout: float = Field(10.0, gt=0, description="seconds to wait for one answer")
        attempts: int = Field(3, ge=1, description="times a failing request is made")
        workers: int = Field(4, ge=1, le=64, description="requests at a time")
        batch: int = Field(
            1, ge=1, description="texts in a request; above 1 rules that read whole texts judge a text by its company"
        )
        on_failure: Literal["abstain", "stop"] = Field(
            "abstain", description="when the server fails during the run: abstain with a warning, or stop the run"
        )

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._url = self.options.url.rstrip("/")
        if urllib.parse.urlsplit(self._url).scheme not in ("http", "https"):
            raise ConfigError(f"reward '{self.name}': 'url' is '{self._url}'; write it as http://localhost:8081")
        self._variants = self._languages()
        self._values: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.failures = 0

    @property
    def signature(self) -> str:
        """What an error costs; the server does not tell its version before it has judged."""
        categories = "".join(f"|without:{name}" for name in self.options.disabled_categories)
        batch = f"|batch:{self.options.batch}" if self.options.batch > 1 else ""
        return f"languagetool|weight:{self.options.weight:g}{categories}{batch}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Ask the server about every text that it was not asked about lately.

        Raises:
            RunError: the server failed, and `on_failure` is stop.
        """
        keys = [(self._code(segment.target_lang), text) for segment, text in zip(segments, hypotheses, strict=True)]
        wanted = [(code, text) for code, text in dict.fromkeys(keys) if code is not None and _words(text)]
        found = self._errors(wanted)
        return [
            value(found[code, text], _words(text), self.options.weight)
            if code is not None and (code, text) in found
            else None
            for code, text in keys
        ]

    def reset(self) -> None:
        """Forget the values that depend on what else was asked."""
        if self.options.batch > 1:
            self._values.clear()

    def _errors(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return the number of errors of each text in its language, less those where the server failed."""
        missing = [key for key in wanted if key not in self._values]
        failures: list[_FailureError] = []

        def ask(request: tuple[str, list[str]]) -> list[int]:
            if len(failures) >= self.options.workers:
                return []  # the server is down: do not wait for it once for each text
            try:
                return self._check(*request)
            except _FailureError as error:
                failures.append(error)
                return []

        requests = _requests(missing, self.options.batch)
        with ThreadPoolExecutor(self.options.workers) as pool:
            answers = list(pool.map(ask, requests))
        fresh = {
            (code, text): errors
            for (code, texts), counts in zip(requests, answers, strict=True)
            for text, errors in zip(texts, counts, strict=False)  # none where the server failed
        }
        unanswered = len(missing) - len(fresh)
        if unanswered:
            self.failures += unanswered
            said = f"the server at {self._url} failed on {unanswered} of {len(missing)} texts ({failures[0]})"
            if self.options.on_failure == "stop":
                raise RunError(f"reward '{self.name}': {said}; start it anew and resume, or set on_failure: abstain")
            _log.warning("reward '%s' abstains: %s; %d in all", self.name, said, self.failures)
        found = {key: self._values[key] for key in wanted if key in self._values} | fresh
        self._values.update(fresh)
        for key in found:
            self._values.move_to_end(key)
        while len(self._values) > _CACHED_TEXTS:
            self._values.popitem(last=False)
        return found

    def _check(self, code: str, texts: Sequence[str]) -> list[int]:
        """Return the number of matches in each text outside placeholders and links."""
        form = {"text": _PARAGRAPH.join(texts), "language": code}
        if self.options.disabled_categories:
            form["disabledCategories"] = ",".join(self.options.disabled_categories)
        answer = self._ask("check", form)
        try:
            spans = [(match["offset"], match["offset"] + match["length"]) for match in answer["matches"]]
        except (KeyError, TypeError) as error:
            raise _FailureError(f"an answer that is no list of matches: {excerpt(str(answer))}") from error
        counts, begin = [], 0
        for text in texts:
            end = begin + _utf16(text)
            kept = [(begin + first, begin + last) for first, last in _untouchable(text)]
            inside = [(a, b) for a, b in spans if begin <= a and b <= end]
            counts.append(sum(all(b <= first or last <= a for first, last in kept) for a, b in inside))
            begin = end + len(_PARAGRAPH)
        return counts

    def _languages(self) -> list[str]:
        """Ask the server at the door which variants of languages it knows.

        Raises:
            ConfigError: an option names a language that it does not know.
            RunError: no server answers, or something that is no LanguageTool.
        """
        try:
            answer = self._ask("languages", None)
            variants = [entry["longCode"] for entry in answer]
            known = {*variants, *(entry["code"] for entry in answer)}
        except (_FailureError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, _FailureError) else "an answer that is no list of languages"
            raise RunError(
                f"reward '{self.name}': no LanguageTool server at {self._url} ({reason}); start one, or change 'url'"
            ) from error
        for tag, code in self.options.language.items():
            if code not in known:
                raise ConfigError(
                    f"reward '{self.name}': the server does not know '{code}', given for '{tag}'{nearest(code, known)}"
                )
        return variants

    def _code(self, tag: str) -> str | None:
        """Return the server's code for a tag: the option's, its own, its likeliest region's, or any of the language."""
        if tag in self.options.language:
            return self.options.language[tag]
        language = subtag(tag)
        likely = langcodes.Language.get(language).maximize().territory
        # Variants first: the server checks the spelling of en-US, not of en.
        wanted = [*([tag] if "-" in tag else []), f"{language}-{likely}", language]
        of_language = [code for code in self._variants if code.split("-")[0] == language]
        found = [code for want in wanted for code in of_language if code.lower() == want.lower()]
        return next(iter(found + of_language), None)

    def _ask(self, path: str, form: dict[str, str] | None) -> Any:
        """Return the server's answer, after several attempts if need be.

        Raises:
            _FailureError: no attempt brought an answer.
        """
        data = None if form is None else urllib.parse.urlencode(form, errors="replace").encode("ascii")
        reason = ""
        for attempt in range(self.options.attempts):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                with urllib.request.urlopen(f"{self._url}/v2/{path}", data, self.options.timeout) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                reason = f"HTTP status {error.code}"
                if error.code not in _RETRIED:
                    break
            except (OSError, http.client.HTTPException) as error:  # refused, reset, timed out, cut short
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            except ValueError:
                reason = "an answer that is no JSON"
        raise _FailureError(reason)


class _FailureError(Exception):
    """The server gave no answer."""


def value(errors: int, words: int, weight: float) -> float:
    """Return exp(-weight * errors / words)."""
    return math.exp(-weight * errors / words)


def _requests(keys: Sequence[tuple[str, str]], size: int) -> list[tuple[str, list[str]]]:
    """Deal texts of one language out to requests of up to `size`; neighbours go to different ones."""
    texts: dict[str, list[str]] = {}
    for code, text in keys:
        texts.setdefault(code, []).append(text)
    shares = {code: math.ceil(len(known) / size) for code, known in texts.items()}
    return [(code, texts[code][i::share]) for code, share in shares.items() for i in range(share)]


def _words(text: str) -> int:
    return sum(any(map(str.isalnum, unit)) for unit in units(words_only(text)))


def _untouchable(text: str) -> list[tuple[int, int]]:
    """Return where placeholders, markup and links stand, in UTF-16 units as the server counts."""
    matches = [match for pattern in (PLACEHOLDERS, LINKS) for match in pattern.finditer(text)]
    return [(_utf16(text[: match.start()]), _utf16(text[: match.end()])) for match in matches]


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
