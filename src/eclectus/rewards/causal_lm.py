"""How likely does a causal language model find the hypothesis?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.models.calibration import Calibration
from eclectus.segment import Segment


class CausalLM(Reward):
    r"""Log-probability of the hypothesis under a causal language model from Hugging Face, relative to its length.

    $$r(y) = \sigma\Big(\frac{\bar\ell(y) - \mu(n)}{s(n)}\Big), \qquad
      \bar\ell(y) = \frac{1}{n} \sum_{i=1}^{|y|} \log P(y_i \mid y_{<i})$$

    over the tokens y_i of the model's own tokenizer, after its token for the beginning of a text and without one for
    the end; n = |y|. mu and s are those of real text of n tokens, fitted for each language to the run's training text
    as in `fluency`, so that real text averages about 0.5. In a language with fewer than `min_texts` texts the value is
    uncalibrated, the inverse of the perplexity:

    $$r(y) = e^{\bar\ell(y)}$$

    Range [0, 1]; an empty hypothesis is 0. The model is assumed to know the languages of the run: it abstains only on a
    single token if the model has no token for the beginning of a text.

    Source: language-model rewards of dual learning, He et al. 2016, https://arxiv.org/abs/1611.00179; length-normalised
    as SLOR without the unigram term, Kann et al. 2018, https://aclanthology.org/K18-1031.

    Example:
        A model whose embeddings are all 0 knows nothing: each of its 8 tokens is as likely as any other.

        >>> import tempfile
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
        >>> from eclectus.segment import Segment
        >>> words = ["<s>", "?", "the", "black", "cat", "sleeps", "in", "peace"]
        >>> tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "?"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> sizes = dict(vocab_size=8, n_positions=16, n_embd=4, n_layer=1, n_head=1)
        >>> model = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **sizes))
        >>> _ = model.transformer.wte.weight.data.zero_()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_pretrained(folder)
        ...     _ = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
        ...     reward = CausalLM(CausalLM.Options(path=folder, device="cpu"))
        >>> [round(value, 4) for value in reward([Segment("", "es", "en")] * 2, ["the black cat", "peace"])]
        [0.125, 0.125]

    How it is cheated: it never sees the source, so the most usual sentence beats every translation; text in the
    language that the model was mostly trained on, and repetition, which such models find more and more likely (gate
    with `language` and `repetition`). Keep its weight small, together with a reward that reads the source.
    """

    class Options(Reward.Options):
        """The model, and how its log-probabilities become values."""

        path: str = Field(description="folder or hub name of a causal model with its tokenizer")
        min_texts: int = Field(100, ge=20, description="distinct training texts that a language needs for calibration")
        max_texts: int = Field(500, ge=20, description="texts used for calibration, evenly spaced")
        max_length: int = Field(512, ge=1, description="tokens of a text that are read")
        batch_tokens: int = Field(1024, ge=1, description="tokens scored at once, padding included")
        device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        from eclectus.rewards.models.scorer import CausalScorer

        own = self.options
        self._scorer = CausalScorer(own.path, own.device, own.batch_tokens, own.max_length)
        self._calibrations: dict[str, Calibration | None] = {}

    @property
    def signature(self) -> str:
        """The model."""
        return f"causal_lm|{'_'.join(self.options.path.split())}|min:{self.options.min_texts}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by the model, on the scale of its target language."""
        texts = [" ".join(text.split()) for text in hypotheses]
        totals, lengths = self._scorer(texts)
        scores: list[Score] = []
        for segment, text, total, length in zip(segments, texts, totals.tolist(), lengths.tolist(), strict=True):
            if not length:
                scores.append(None if text else 0.0)
                continue
            calibration = self._calibration(segment.target_lang)
            if calibration is None:
                scores.append(math.exp(total / length))
            else:
                scores.append(float(calibration.values(total, length)))
        return scores

    def _calibration(self, language: str) -> Calibration | None:
        """Return the language's calibration, fitted at first use; None without enough text."""
        if language not in self._calibrations:
            squeezed = (" ".join(text.split()) for text in self.context.target_texts.get(language, ()))
            texts = [text for text in dict.fromkeys(squeezed) if text]
            calibration = None
            if len(texts) >= self.options.min_texts:
                step = max(1.0, len(texts) / self.options.max_texts)
                totals, lengths = self._scorer([texts[int(i * step)] for i in range(int(len(texts) / step))])
                calibration = Calibration.fit(totals[lengths > 0], lengths[lengths > 0])
            self._calibrations[language] = calibration
        return self._calibrations[language]
