"""Translation one word at a time as a Markov decision process small enough for a Q-table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from eclectus.environments.phrase_table import PhraseTable, packaged
from eclectus.errors import ConfigError
from eclectus.rewards.bleu import Bleu
from eclectus.segment import Segment

try:
    import gymnasium
except ImportError as error:
    raise ConfigError(
        "the environment WordTranslation needs Gymnasium; install it with: pip install 'eclectus[tabular]'"
    ) from error

RewardKind = Literal["word", "bleu"]
_SPARE = 2  # words that may be written beyond the longer of source and reference
_CACHED = 2**16


class State(NamedTuple):
    """What the translator sees: where it is, and the word that it wrote last (None at the beginning)."""

    sentence: int
    position: int
    previous: str | None


class WordTranslation(gymnasium.Env[int, int]):
    r"""Write the translation of a sentence word by word.

    - **Observation**, `Discrete`: the source position (which sentence, how many of its positions have been passed) and
      the previous target word. Each word that is written moves the position by one, so that where word order differs
      ("black cat", "gato negro") the translator must learn what to write where.
    - **Action**, `Discrete`: a target word, or the last action, which ends the sentence. `info["action_mask"]` is 1 for
      the words that the phrase table offers for this sentence; other words can be written and earn nothing.
    - **Reward** `word`: $1 / (L + 1)$ for each word in its place after the right word, and for ending in the right
      place, with L the words of the reference. It depends on state and action alone, so that value iteration gives the
      exact values. `bleu`: sentence BLEU at the end, 0 before; it depends on all that was written, of which the state
      shows the last word only. The return is in [0, 1] with both, and 1 for the reference alone.
    - **Termination**: the end is chosen, or the sentence is `limit` words long. The limit is seen in the state, so this
      is the end of the task and not a truncation: nothing may be bootstrapped from there.

    `reset(options={"sentence": i})` asks for one sentence; else they are drawn uniformly.

    Source: translation as a sequential decision problem, Bahdanau et al. 2017, https://arxiv.org/abs/1607.07086.

    Args:
        table: the phrase table; None is the packaged English-Spanish one.
        reward: `word` or `bleu`.
        render_mode: None or `ansi`.

    Example:
        >>> environment = WordTranslation(reward="bleu")
        >>> state, info = environment.reset(options={"sentence": 1})
        >>> environment.table.sentences[1]
        ('the black cat', 'el gato negro')
        >>> [environment.step(environment.action(word))[1:3] for word in ("el", "gato", "negro", None)]
        [(0.0, False), (0.0, False), (0.0, False), (1.0, True)]
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012, declared so by Gymnasium

    def __init__(
        self, table: PhraseTable | None = None, reward: RewardKind = "word", render_mode: str | None = None
    ) -> None:
        if reward not in ("word", "bleu"):
            raise ConfigError(f"WordTranslation: unknown reward '{reward}'; choose 'word' or 'bleu'")
        self.table = table if table is not None else packaged()
        self.reward = reward
        self.render_mode = render_mode
        self.words = self.table.words
        self.end = len(self.words)
        self.references = [tuple(reference.split()) for _, reference in self.table.sentences]
        self.limits = [
            max(len(source.split()), len(reference.split())) + _SPARE for source, reference in self.table.sentences
        ]
        self._number = {word: number for number, word in enumerate(self.words)}
        # Rows of the state space before each sentence; a row is a position, a column the previous word or none.
        self._rows = np.concatenate([[0], np.cumsum([limit + 1 for limit in self.limits])])
        self._masks = [self._mask(source) for source, _ in self.table.sentences]
        self._bleu = Bleu()
        self.score = lru_cache(maxsize=_CACHED)(self._score)
        # Gymnasium types what Discrete holds as numpy's integer and what `step` takes as the environment's own.
        self.observation_space: Any = gymnasium.spaces.Discrete(int(self._rows[-1]) * (self.end + 1))
        self.action_space: Any = gymnasium.spaces.Discrete(self.end + 1)
        self._sentence = 0
        self._written: list[str] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begin a sentence: `options["sentence"]`, or any."""
        super().reset(seed=seed)
        chosen = (options or {}).get("sentence")
        if chosen is not None and not 0 <= chosen < len(self.references):
            raise ValueError(f"sentence {chosen} of {len(self.references)}")
        self._sentence = int(self.np_random.integers(len(self.references))) if chosen is None else chosen
        self._written = []
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Write a word or end."""
        ended = action == self.end
        value = self._word_reward(int(action)) if self.reward == "word" else 0.0
        if not ended:
            self._written.append(self.words[action])
        terminated = bool(ended or len(self._written) == self.limits[self._sentence])
        if self.reward == "bleu" and terminated:
            value = self.score(self._sentence, " ".join(self._written))
        return self._observation(), value, terminated, False, self._info()

    def render(self) -> str | None:
        """The source with the position marked, and what is written: `the [black] cat | el`."""
        if self.render_mode != "ansi":
            return None
        source = [*self.table.sentences[self._sentence][0].split()]
        position = len(self._written)
        marked = [f"[{word}]" if i == position else word for i, word in enumerate(source)]
        return f"{' '.join(marked)} | {' '.join(self._written)}"

    def action(self, word: str | None) -> int:
        """The action that writes `word`; None ends the sentence."""
        return self.end if word is None else self._number[word]

    def encode(self, state: State) -> int:
        """The observation that stands for a state."""
        previous = self.end if state.previous is None else self._number[state.previous]
        return (int(self._rows[state.sentence]) + state.position) * (self.end + 1) + previous

    def decode(self, observation: int) -> State:
        """The state that an observation stands for."""
        row, previous = divmod(int(observation), self.end + 1)
        sentence = int(np.searchsorted(self._rows, row, side="right")) - 1
        return State(sentence, row - int(self._rows[sentence]), None if previous == self.end else self.words[previous])

    def _observation(self) -> int:
        previous = self._written[-1] if self._written else None
        return self.encode(State(self._sentence, len(self._written), previous))

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._masks[self._sentence].copy(), "translation": " ".join(self._written)}

    def _mask(self, source: str) -> np.ndarray:
        mask = np.zeros(self.end + 1, dtype=np.int8)
        mask[[self._number[word] for word in self.table.candidates(source)]] = 1
        mask[self.end] = 1
        return mask

    def _word_reward(self, action: int) -> float:
        reference = self.references[self._sentence]
        position = len(self._written)
        if position > len(reference) or (position and self._written[-1] != reference[position - 1]):
            return 0.0
        wanted = self._number[reference[position]] if position < len(reference) else self.end
        return 1 / (len(reference) + 1) if action == wanted else 0.0

    def _score(self, sentence: int, translation: str) -> float:
        """Sentence BLEU in [0, 1] of a translation of a sentence."""
        source, reference = self.table.sentences[sentence]
        segment = Segment(source, self.table.source_lang, self.table.target_lang, reference=reference)
        (value,) = self._bleu([segment], [translation])
        return float(value or 0.0)


gymnasium.register("eclectus/WordTranslation-v0", entry_point="eclectus.environments.word_translation:WordTranslation")
