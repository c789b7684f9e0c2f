"""Train the tokenizer of a new multilingual model: byte-pair encoding shared by all languages.

Digits stand alone, so that a number is copied digit by digit instead of being one of a thousand rare words. Each
language has a tag `>>xx<<`, as in the multilingual Marian models, which opens the source and names the target language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from eclectus.errors import DataError

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def tag(language: str) -> str:
    """The token that asks for a target language."""
    return f">>{language}<<"


def train_tokenizer(texts: Iterable[str], languages: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-pair encoding on `texts` with one tag for each language.

    Args:
        texts: training text of all languages.
        vocabulary: size of the vocabulary, tags included; less text may give less.

    Raises:
        DataError: there is no text to learn from.
    """
    texts = list(texts)
    if not any(texts):
        raise DataError("tokenizer: no training text left after cleaning; check data.corpora and data.max_chars")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            initial_alphabet=list("0123456789"),  # little text may lack a digit
            special_tokens=[PAD, END, UNKNOWN, *(tag(language) for language in languages)],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[tag(language) for language in languages],
        clean_up_tokenization_spaces=False,
    )
