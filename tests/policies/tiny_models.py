"""Every family as a tiny model with random weights and its real tokenizer class, built here and read from nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.tiny import SENTENCES

TEXTS = [sentence for texts in SENTENCES.values() for sentence in texts]
FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]
SHAPE = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "dropout": 0.1,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "bos_token_id": 0,
    "decoder_start_token_id": 2,
}


def bpe(
    specials: Sequence[str], *, bytes_: bool = False, size: int = 200, texts: Sequence[str] = TEXTS
) -> tuple[dict[str, int], list[Any]]:
    """Vocabulary and merges, the special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False) if bytes_ else pre_tokenizers.Metaspace()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytes_ else list("▁0123456789:\n.")
    trainer = trainers.BpeTrainer(
        vocab_size=size + (256 if bytes_ else 0),
        special_tokens=list(specials),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def unigram(specials: Sequence[str]) -> list[tuple[str, float]]:
    """Pieces with scores, the special tokens first, longer pieces likelier; the library's own training is not exact."""
    return [(piece, 0.0 if piece in specials else len(piece) - 10.0) for piece in bpe(specials, size=120)[0]]


def sentencepiece_model(folder: Path, name: str) -> str:
    """Train a SentencePiece model and return its file."""
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4),
        model_prefix=str(folder / name),
        vocab_size=90,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return str(folder / f"{name}.model")


def pieces(file: str) -> list[str]:
    """The pieces of a SentencePiece model but for its special ones."""
    processor = pytest.importorskip("sentencepiece").SentencePieceProcessor()
    processor.Load(file)
    return [processor.IdToPiece(i) for i in range(3, processor.GetPieceSize())]


def nllb(folder: Path) -> tuple[Any, Any]:
    vocabulary, merges = bpe(FAIRSEQ)
    tokenizer = transformers.NllbTokenizer(vocab=vocabulary, merges=merges)
    config = transformers.M2M100Config(**SHAPE, vocab_size=len(tokenizer) + 2, scale_embedding=True)
    return transformers.M2M100ForConditionalGeneration(config), tokenizer


def nllb_legacy(folder: Path) -> tuple[Any, Any]:
    model, _ = nllb(folder)
    vocabulary, merges = bpe(FAIRSEQ)
    return model, transformers.NllbTokenizer(vocab=vocabulary, merges=merges, legacy_behaviour=True)


def m2m100(folder: Path) -> tuple[Any, Any]:
    file = sentencepiece_model(folder, "spm")
    vocabulary = {piece: i for i, piece in enumerate([*FAIRSEQ, *pieces(file)])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.M2M100Tokenizer(str(folder / "vocab.json"), file)
    # As in the real one: eight made-up words fill the vocabulary up.
    config = transformers.M2M100Config(**SHAPE, vocab_size=len(vocabulary) + 108, scale_embedding=True)
    return transformers.M2M100ForConditionalGeneration(config), tokenizer


def mbart50(folder: Path) -> tuple[Any, Any]:
    tokenizer = transformers.MBart50Tokenizer(vocab=unigram(["<unk>", "<s>", "</s>"]))
    return transformers.MBartForConditionalGeneration(
        transformers.MBartConfig(**SHAPE, vocab_size=len(tokenizer))
    ), tokenizer


def mbart25(folder: Path) -> tuple[Any, Any]:
    from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES

    codes = [(code, 0.0) for code in FAIRSEQ_LANGUAGE_CODES]
    tokenizer = transformers.MBartTokenizer(vocab=[*unigram(FAIRSEQ), *codes, ("<mask>", 0.0)])
    config = transformers.MBartConfig(**SHAPE | {"decoder_start_token_id": None}, vocab_size=len(tokenizer))
    return transformers.MBartForConditionalGeneration(config), tokenizer


def bart(folder: Path) -> tuple[Any, Any]:
    vocabulary, merges = bpe([*FAIRSEQ, "<mask>"], bytes_=True)
    tokenizer = transformers.BartTokenizer(vocab=vocabulary, merges=merges)
    return transformers.BartForConditionalGeneration(
        transformers.BartConfig(**SHAPE, vocab_size=len(tokenizer))
    ), tokenizer


def _t5(tokenizer: Any, library: Any = transformers.T5ForConditionalGeneration, **options: Any) -> tuple[Any, Any]:
    kind = transformers.MT5Config if library is transformers.MT5ForConditionalGeneration else transformers.T5Config
    config = kind(
        vocab_size=len(tokenizer) + 3,
        d_model=16,
        d_kv=6,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=12,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        **options,
    )
    model = library(config)
    if options.get("tie_word_embeddings") is False:
        # The library ties what the real checkpoints do not, until it has loaded them.
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    return model, tokenizer


def t5(folder: Path) -> tuple[Any, Any]:
    return _t5(transformers.T5Tokenizer(vocab=unigram(["<pad>", "</s>", "<unk>"]), extra_ids=5))


def mt5(folder: Path) -> tuple[Any, Any]:
    tokenizer = transformers.T5Tokenizer(vocab=unigram(["<pad>", "</s>", "<unk>"]), extra_ids=0)
    return _t5(
        tokenizer, transformers.MT5ForConditionalGeneration, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    )


def madlad(folder: Path) -> tuple[Any, Any]:
    tags = [f"<2{code}>" for code in ("en", "es", "fr", "zh_Hant", "translate")]
    vocabulary = unigram(["<unk>", "<s>", "</s>", *tags])
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *vocabulary[3:]]
    tokenizer = transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0)
    tokenizer.add_tokens([transformers.AddedToken(tag, normalized=False, special=False) for tag in tags])
    return _t5(tokenizer, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def opus_mt(folder: Path, tags: Sequence[str] = ("es", "fr")) -> tuple[Any, Any]:
    file = sentencepiece_model(folder, "source")
    target = sentencepiece_model(folder, "target")
    words = ["</s>", "<unk>", *pieces(file), *(f">>{tag}<<" for tag in tags), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    tokenizer = transformers.MarianTokenizer(
        file, target, str(folder / "vocab.json"), source_lang="en", target_lang="roa" if tags else "es"
    )
    pad = len(words) - 1
    special = {"pad_token_id": pad, "eos_token_id": 0, "bos_token_id": 0, "decoder_start_token_id": pad}
    config = transformers.MarianConfig(
        **SHAPE | special, vocab_size=len(words), forced_eos_token_id=None, share_encoder_decoder_embeddings=True
    )
    model = transformers.MarianMTModel(config)
    torch.nn.init.normal_(model.final_logits_bias)  # trained models have one
    return model, tokenizer


def opus_mt_pair(folder: Path) -> tuple[Any, Any]:
    return opus_mt(folder, tags=())


SEQ2SEQ: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    kind.__name__: kind
    for kind in (opus_mt, opus_mt_pair, m2m100, nllb, nllb_legacy, mbart50, mbart25, t5, mt5, madlad, bart)
}


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
INST = (
    "<s>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)


def _decoder(kind: str, tokenizer: Any, **options: Any) -> tuple[Any, Any]:
    values = {
        "vocab_size": len(tokenizer) + 3,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "max_position_embeddings": 256,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = getattr(transformers, f"{kind}Config")(**values | options)
    library = getattr(transformers, "Gemma3ForCausalLM" if kind == "Gemma3Text" else f"{kind}ForCausalLM")
    return library(config), tokenizer


def llama(folder: Path, texts: Sequence[str] = TEXTS, **shape: int) -> tuple[Any, Any]:
    """A base model: no chat template, no padding token, bytes for what is not in the vocabulary."""
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary, merges = bpe(specials, size=450, texts=texts)
    tokenizer = transformers.LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)
    return _decoder("Llama", tokenizer, tie_word_embeddings=False, **shape)


def mistral(folder: Path) -> tuple[Any, Any]:
    """Chat with a space before the answer, and a window shorter than the prompts."""
    _, tokenizer = llama(folder)
    tokenizer.chat_template = INST
    return _decoder("Mistral", tokenizer, sliding_window=9)


def _qwen(kind: str, **options: Any) -> tuple[Any, Any]:
    vocabulary, merges = bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bytes_=True)
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return _decoder(kind, tokenizer, **options)


def qwen2(folder: Path) -> tuple[Any, Any]:
    return _qwen("Qwen2", use_sliding_window=True, sliding_window=7, max_window_layers=1)


def qwen3(folder: Path) -> tuple[Any, Any]:
    return _qwen("Qwen3")


def _gemma(kind: str, **options: Any) -> tuple[Any, Any]:
    vocabulary, merges = bpe(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"])
    tokenizer = transformers.GemmaTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    tokenizer.chat_template = TURNS
    return _decoder(kind, tokenizer, **options)


def gemma(folder: Path) -> tuple[Any, Any]:
    return _gemma("Gemma")


def gemma2(folder: Path) -> tuple[Any, Any]:
    """Soft caps low enough to tell."""
    return _gemma(
        "Gemma2", sliding_window=8, final_logit_softcapping=3.0, attn_logit_softcapping=1.5, query_pre_attn_scalar=6
    )


def gemma3(folder: Path) -> tuple[Any, Any]:
    return _gemma("Gemma3Text", sliding_window=8, query_pre_attn_scalar=6)


CAUSAL: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    kind.__name__: kind for kind in (llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3)
}


def build(name: str, folder: Path, seed: int = 1) -> tuple[Any, Any]:
    """Model and tokenizer of a family; weights so large that every token and every attention weight tells."""
    torch.manual_seed(seed)
    model, tokenizer = (SEQ2SEQ | CAUSAL)[name](folder)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.requires_grad:  # Marian's positions are computed, not trained
                parameter.mul_(1.0 if model.config.model_type in {"t5", "mt5"} else 10.0)
    return model.eval(), tokenizer
