"""Scores of one direction translated by one system: BLEU, chrF++ and what they do not see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eclectus.errors import DataError
from eclectus.evaluation import diagnostics
from eclectus.evaluation.statistics import Extractor, Statistics
from eclectus.rewards.text import squeeze, visible
from eclectus.segment import Segment


@dataclass(frozen=True)
class DirectionScores:
    """How one system does on the test set of one direction.

    Args:
        n: number of segments.
        bleu: sacreBLEU BLEU, 0 to 100.
        chrf: chrF++ (word order 2), 0 to 100.
        exact: share of hypotheses equal to their reference.
        off_target: share of hypotheses in another of the run's languages; where language identification
            abstained, it is not off-target; None where it judged none.
        judged: share of hypotheses on which language identification did not abstain.
        length_ratio: characters of the hypotheses by characters of the references.
        repetition: share of hypotheses that loop.
        copy: share of hypotheses that are their source.
        empty: share of empty hypotheses.
        entropy: mean entropy per token in nats; None where it was not measured.
        reference_first, reference_rank, reference_entropy, reference_nll: see `ReferenceTokens`; None where a system
            is no policy, or was not asked.
        agreement: chrF++ of what the translations of a source into several languages say in the pivot language, each
            with the others (`evaluation.agreement`), 0 to 100; None where it was not measured.
    """

    n: int
    bleu: float
    chrf: float
    exact: float
    off_target: float | None
    judged: float
    length_ratio: float
    repetition: float
    copy: float
    empty: float
    entropy: float | None = None
    reference_first: float | None = None
    reference_rank: float | None = None
    reference_entropy: float | None = None
    reference_nll: float | None = None
    agreement: float | None = None


class Scorer:
    """Scores any number of systems on the test set of one direction.

    Args:
        segments: segments of one direction, each with a reference.
        languages: the run's languages; identification chooses among them only. Empty: no identification.

    Raises:
        DataError: no segment, or a segment without a reference.
    """

    def __init__(self, segments: Sequence[Segment], languages: Sequence[str]) -> None:
        if not segments:
            raise DataError("evaluation: there is no test segment to score; check data.test and the corpora")
        directions = {segment.direction for segment in segments}
        if len(directions) > 1:
            raise ValueError(f"one direction at a time, got {', '.join(sorted(directions))}")
        self.segments = list(segments)
        self.languages = list(languages)
        self.references = [_reference(segment) for segment in segments]
        self.target_lang = segments[0].target_lang
        self.extract = Extractor(self.references, self.target_lang)

    def score(
        self,
        hypotheses: Sequence[str],
        entropies: Sequence[float] | None = None,
        statistics: Statistics | None = None,
    ) -> DirectionScores:
        """Score one system.

        Args:
            hypotheses: one translation for each segment.
            entropies: mean entropy per token of each, in nats; not a number where it is unknown.
            statistics: `extract(hypotheses)` where the caller has it already.
        """
        statistics = self.extract(hypotheses) if statistics is None else statistics
        triples = [(s.source, h, r) for s, h, r in zip(self.segments, hypotheses, self.references, strict=True)]
        off_target, judged = self.off_target(hypotheses)
        return DirectionScores(
            n=len(triples),
            **statistics.total(),
            exact=diagnostics.share([squeeze(h) == squeeze(r) for _, h, r in triples]),
            off_target=off_target,
            judged=judged,
            length_ratio=diagnostics.length_ratio(hypotheses, self.references),
            repetition=diagnostics.share([diagnostics.is_repetition(h, r) for _, h, r in triples]),
            copy=diagnostics.share([diagnostics.is_copy(*triple) for triple in triples]),
            empty=diagnostics.share([not visible(h) for h in hypotheses]),
            entropy=_mean([e for e in entropies or [] if math.isfinite(e)]),
        )

    def off_target(self, hypotheses: Sequence[str]) -> tuple[float | None, float]:
        """Return the share in another language (None where none was judged) and the share judged."""
        if not self.languages or not _identifiable(self.target_lang):
            return None, 0.0
        found = [language for language, _ in _identify(hypotheses, self.languages) if language is not None]
        wrong = [language != self.target_lang for language in found]
        return (sum(wrong) / len(hypotheses) if found else None), len(found) / len(hypotheses)


def _reference(segment: Segment) -> str:
    if segment.reference is None:
        raise DataError(
            f"evaluation: test segment '{segment.id}' ({segment.direction}) has no reference; "
            "score only text that has one"
        )
    return segment.reference


def _identify(texts: Sequence[str], languages: Sequence[str]) -> list[tuple[str | None, float]]:
    from eclectus.rewards.language import identify  # its model takes a moment to load

    return identify(texts, languages)


def _identifiable(language: str) -> bool:
    """Text in a language that identification does not know would be called by the name of another one."""
    from eclectus.rewards.language import labels

    return labels([language])[language] is not None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
