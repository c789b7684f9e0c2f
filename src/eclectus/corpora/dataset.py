"""`prepare`: corpora in, a split and checked `Dataset` out. Nothing is cached on disk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, Literal

from eclectus import languages, registry
from eclectus.config import Component, DataConfig
from eclectus.corpora import own, splits
from eclectus.corpora.apart import keep_apart
from eclectus.corpora.base import Corpus, Entry
from eclectus.corpora.clean import clean, normalise
from eclectus.corpora.left_out import LeftOut
from eclectus.corpora.seen import SeenText
from eclectus.errors import ConfigError, DataError, nearest
from eclectus.segment import Segment

SplitName = Literal["train", "dev", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")


class Dataset:
    """The text of a run, in three splits that share no text.

    Args:
        config: languages, caps and sizes.
        entries: split -> entries, in seeded order.
        report: what `describe` returns beside the counts.
        warnings: sentences about the text that people should read.
    """

    def __init__(
        self,
        config: DataConfig,
        entries: dict[SplitName, list[Entry]],
        report: dict[str, Any],
        warnings: Sequence[str] = (),
    ) -> None:
        self.warnings = list(warnings)
        self.languages = list(config.languages)
        self._config = config
        self._entries = entries
        self._report = report
        self._allowed = {tag: self._capped(tag, cap) for tag, cap in config.max_pairs.items()}
        self._cache: dict[tuple[str, str, str], list[Segment]] = {}

    def pairs(self, split: SplitName, source_lang: str, target_lang: str) -> list[Segment]:
        """Return the segments of a direction, with references.

        Training text honours `max_pairs`: a pair uses only the entries that each capped language is allowed, the
        same ones in both directions. Dev and test hold at most `config.dev` and `config.test` segments, each source
        once, ordered so that every beginning of the list holds the corpora in the same proportions.

        The further translations that a source has in the split are the `alternatives` of its segments. Training text
        has a segment for each of them, so that supervised training learns from all.
        """
        key = (split, source_lang, target_lang)
        if key not in self._cache:
            self._cache[key] = self._make_pairs(*key)
        return self._cache[key]

    def monolingual(self, split: SplitName, lang: str) -> list[str]:
        """Return every distinct text of one language in a split; `max_pairs` does not bound it."""
        return list(dict.fromkeys(e.texts[lang] for e in self._entries[split] if lang in e.texts))

    def check(self, directions: Sequence[languages.Direction]) -> None:
        """Make sure that each direction can be selected and tested.

        Raises:
            DataError: a direction without dev or test segments.
        """
        for source, target in directions:
            for split in ("dev", "test"):
                if not self.pairs(split, source, target):
                    n = len(self.pairs("train", source, target))
                    raise DataError(
                        f"data: direction '{languages.direction(source, target)}' has no {split} segments "
                        f"({n} for training); add a corpus that holds {languages.name(source)} and "
                        f"{languages.name(target)}, or take the direction out"
                    )

    def held_out(
        self, split: SplitName, directions: Sequence[languages.Direction], seen: SeenText | None
    ) -> dict[str, list[Segment]]:
        """Dev or test segments by direction, without those that the loaded model met in its own training.

        Raises:
            DataError: a direction has none left.
        """
        found: dict[str, list[Segment]] = {}
        for source, target in directions:
            rows = self.pairs(split, source, target)
            fresh = [s for s in rows if seen is None or (s.source not in seen and (s.reference or "") not in seen)]
            if not fresh:
                raise DataError(
                    f"data: all {len(rows)} {split} segments of {source}-{target} are in the text that the model was"
                    " trained on, so they can prove nothing; add text it has not seen, or take the direction out"
                )
            found[languages.direction(source, target)] = fresh
        return found

    @property
    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Entries by language, corpus and split: `counts["gl"]["cldr"]["train"]`."""
        found: dict[str, dict[str, dict[str, int]]] = {tag: {} for tag in self.languages}
        for split in SPLITS:
            for entry in self._entries[split]:
                for tag in entry.texts:
                    found[tag].setdefault(entry.corpus, dict.fromkeys(SPLITS, 0))[split] += 1
        return found

    @property
    def training_pairs(self) -> dict[str, int]:
        """Distinct pairs that training has of each two languages, within `max_pairs`: `training_pairs["en-gl"]`."""
        found = {}
        for pair in combinations(self.languages, 2):
            count = len({(entry.texts[pair[0]], entry.texts[pair[1]]) for entry in self._usable("train", pair)})
            if count:
                found[languages.direction(*pair)] = count
        return found

    def describe(self) -> dict[str, Any]:
        """Return what the report prints: counts, training pairs, what was dropped and why, signatures, caps."""
        return {
            "languages": self.languages,
            "counts": self.counts,
            "training pairs": self.training_pairs,
            "max_pairs": self._config.max_pairs,
            **self._report,
        }

    def _capped(self, tag: str, cap: int) -> set[int]:
        """Positions of the training entries whose text in `tag` may be used in pairs.

        Entries that pair with the pivot come first, so that the cap is what the pivot's direction has.
        """
        pivot = next(other for other in self.languages if other != tag)
        usable = [i for i, e in enumerate(self._entries["train"]) if tag in e.texts and len(e.texts) > 1]
        with_pivot, others, seen = [], [], set()
        for i in usable:
            entry = self._entries["train"][i]
            texts = (entry.texts.get(pivot), entry.texts[tag])
            if splits.pair_fits(entry, (pivot, tag), self._config.max_ratio) and texts not in seen:
                seen.add(texts)
                with_pivot.append(i)
            else:
                others.append(i)
        return set([*with_pivot, *others][:cap])

    def _usable(self, split: SplitName, pair: tuple[str, str]) -> list[Entry]:
        allowed = [self._allowed[tag] for tag in pair if tag in self._allowed] if split == "train" else []
        return [
            entry
            for i, entry in enumerate(self._entries[split])
            if all(i in positions for positions in allowed) and splits.pair_fits(entry, pair, self._config.max_ratio)
        ]

    def _make_pairs(self, split: SplitName, source_lang: str, target_lang: str) -> list[Segment]:
        entries = self._usable(split, (source_lang, target_lang))
        if split != "train" and any(e.split == split for e in entries):
            # The user's own dev or test text of a direction is all of it; nothing drawn is mixed in.
            entries = [e for e in entries if e.split == split]
        attributes = {entry.corpus: {"corpus": entry.corpus} for entry in entries}
        found: dict[tuple[str, ...], Segment] = {}
        references: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for entry in entries:
            source, reference = entry.texts[source_lang], entry.texts[target_lang]
            references[source][reference] = None
            key = (source, reference) if split == "train" else (source,)
            found.setdefault(
                key, Segment(source, source_lang, target_lang, reference, entry.id, attributes[entry.corpus])
            )
        segments = [
            replace(s, alternatives=tuple(text for text in references[s.source] if text != s.reference))
            for s in found.values()
        ]
        return segments if split == "train" else _spread(segments)[: getattr(self._config, split)]


def _but(dropped: Mapping[str, Counter[str]], max_chars: int) -> str:
    """What was left out of all texts, where anything was."""
    counts = sum(dropped.values(), Counter[str]())
    told = {"too long": f"longer than data.max_chars: {max_chars}"}
    reasons = ", ".join(f"{count:,} {told.get(reason, reason)}" for reason, count in counts.most_common())
    return f" that was not left out ({reasons})" if reasons else ""


def prepare(config: DataConfig, seed: int) -> Dataset:
    """Read, clean, deduplicate and split the corpora of a run.

    Args:
        config: the `data` part of a run.
        seed: of the split and of made-up phrases, `config.split_seed`; the same seed gives the same text.

    Raises:
        ConfigError: an unknown language, corpus or option.
        DataError: a corpus that cannot be read, or splits of the user's own that share text.
    """
    languages.check(config.languages)
    for key, tags in (("max_pairs", config.max_pairs), ("apart", config.apart)):
        for tag in tags:
            if tag not in config.languages:
                raise ConfigError(f"data.{key}: '{tag}' is not among data.languages{nearest(tag, config.languages)}")
    if config.root is not None and not config.root.expanduser().is_dir():
        raise DataError(
            f"data.root: no folder '{config.root}' (looked in {Path.cwd()}); name the folder that holds the text, as in"
            " --set data.root=FOLDER"
        )
    places = [f"data.corpora.{index}" for index in range(len(config.corpora))]
    corpora = [
        _corpus(where, component, config.languages, seed, config.root)
        for where, component in zip(places, config.corpora, strict=True)
    ]
    entries: list[Entry] = []
    dropped: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[tuple[object, ...]] = set()
    warnings: list[str] = []
    for corpus, where in zip(corpora, places, strict=True):
        told = LeftOut()
        kept = clean(own.read(corpus, where), config.max_chars, corpus.dropped, seen, told.count)
        entries.extend(told.checked(kept, config.max_ratio))
        dropped[corpus.label] += corpus.dropped
        warnings += [*corpus.warnings(), *told.sentences(corpus.label, config.max_chars)]
    for tag in config.languages:
        if not any(tag in entry.texts for entry in entries):
            but = _but(dropped, config.max_chars)
            raise DataError(f"data: no corpus holds any {languages.name(tag)} text{but}; add one, or take '{tag}' out")
    left_out: Counter[str] = Counter()
    sizes = {"dev": config.dev, "test": config.test}
    names = splits.split(
        entries,
        config.languages,
        sizes,
        max_ratio=config.max_ratio,
        seed=seed,
        leaks=config.leaks,
        dropped=left_out,
    )
    parts: dict[SplitName, list[Entry]] = {name: [] for name in SPLITS}
    for entry, name in zip(entries, names, strict=True):
        if name is not None:
            parts[name].append(entry)  # type: ignore[index]
    if config.apart:
        parts["train"] = keep_apart(parts["train"], config.apart, seed)
    for part in parts.values():
        # A user's file keeps its order among itself: its ids are numbered lines, the hash is for the rest.
        part.sort(key=lambda e: "" if e.split != "auto" else splits.order(seed, splits.source_key(e, config.languages)))
    report = {
        "dropped": {label: dict(counter) for label, counter in dropped.items()} | {"split": dict(left_out)},
        "signatures": [own.signature(corpus, where) for corpus, where in zip(corpora, places, strict=True)],
    }
    return Dataset(config, parts, report, warnings)


def read_pairs(
    where: str, component: Component, tags: Sequence[str], root: Path | None = None
) -> dict[str, list[Segment]]:
    """Read one corpus that is not split, as pairs by direction.

    Args:
        where: the place in the configuration, for errors.
        root: see `Corpus.root`.

    Raises:
        ConfigError: an unknown corpus or option.
        DataError: a corpus that cannot be read, or without pairs.
    """
    pairs: defaultdict[str, list[Segment]] = defaultdict(list)
    for entry in own.read(_corpus(where, component, tags, 1, root), where):
        texts = {tag: text for tag in tags if (text := normalise(entry.texts.get(tag, "")))}
        for source, target in permutations(texts, 2):
            segment = Segment(texts[source], source, target, texts[target], entry.id)
            pairs[languages.direction(source, target)].append(segment)
    if not pairs:
        raise DataError(f"{where}: it holds no pair of {', '.join(tags)}; name a corpus of translations")
    return dict(pairs)


def _corpus(where: str, component: Component, tags: Sequence[str], seed: int, root: Path | None) -> Corpus:
    corpus = registry.build("corpora", component.type, Corpus, where, component.options, tags, seed)
    corpus.root = root
    return corpus


def _spread(segments: Sequence[Segment]) -> list[Segment]:
    """Order segments so that every beginning of the list holds the corpora in the same proportions."""
    totals = Counter(s.attributes["corpus"] for s in segments)
    seen: Counter[str] = Counter()
    placed = []
    for segment in segments:
        corpus = segment.attributes["corpus"]
        placed.append(((seen[corpus] + 0.5) / totals[corpus], corpus, segment))
        seen[corpus] += 1
    return [segment for _, _, segment in sorted(placed, key=lambda item: item[:2])]
