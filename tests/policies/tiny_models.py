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
SENTENCEPIECE = ["<unk>", "<s>", "</s>"]
T5_SPECIALS = ["<pad>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
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
    # The library probes a vocabulary for stop texts with "abcdef".
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytes_ else list("▁0123456789:\n.abcdef")
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


def ranked(specials: Sequence[str], size: int, texts: Sequence[str] = TEXTS) -> list[tuple[str, float]]:
    """The same for byte-pair encoding: the earlier a piece was merged, the higher its score."""
    return [
        (piece, 0.0 if piece in specials else -float(i))
        for i, piece in enumerate(bpe(specials, size=size, texts=texts)[0])
    ]


def from_pieces(kind: str, folder: Path, file: str, scored: Sequence[tuple[str, float]], **options: Any) -> Any:
    """A tokenizer class made by transformers, 4 or 5, from a SentencePiece model of these pieces."""
    proto = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    types = proto.ModelProto.SentencePiece
    names = {"<unk>": types.UNKNOWN} | dict.fromkeys(["<s>", "</s>", "<pad>", "<bos>", "<eos>"], types.CONTROL)
    model = proto.ModelProto()
    unigram_ = kind not in {"Nllb", "Llama", "Gemma"}
    model.trainer_spec.model_type = proto.TrainerSpec.UNIGRAM if unigram_ else proto.TrainerSpec.BPE
    model.trainer_spec.unk_id = [piece for piece, _ in scored].index("<unk>")
    for piece, score in scored:
        byte = piece.startswith("<0x")
        model.trainer_spec.byte_fallback |= byte
        usual = types.USER_DEFINED if piece.startswith("<") else types.NORMAL
        model.pieces.add(piece=piece, score=score, type=types.BYTE if byte else names.get(piece, usual))
    made = folder / "pieces"
    made.mkdir(exist_ok=True)
    (made / file).write_bytes(model.SerializeToString())
    return getattr(transformers, f"{kind}TokenizerFast").from_pretrained(made, **options)


def from_merges(kind: str, folder: Path, specials: Sequence[str]) -> Any:
    """A tokenizer class made by transformers from the two files of a byte-level byte-pair encoding."""
    vocabulary, merges = bpe(specials, bytes_=True)
    made = folder / "merges"
    made.mkdir(exist_ok=True)
    (made / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (made / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]), encoding="utf-8")
    return getattr(transformers, f"{kind}TokenizerFast").from_pretrained(made)


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


def _nllb_tokenizer(folder: Path, **options: Any) -> Any:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    # transformers 5 forgets the languages of a SentencePiece file.
    options["additional_special_tokens"] = FAIRSEQ_LANGUAGE_CODES
    return from_pieces("Nllb", folder, "sentencepiece.bpe.model", ranked(SENTENCEPIECE, 199), **options)


def nllb(folder: Path) -> tuple[Any, Any]:
    tokenizer = _nllb_tokenizer(folder)
    config = transformers.M2M100Config(**SHAPE, vocab_size=len(tokenizer) + 2, scale_embedding=True)
    return transformers.M2M100ForConditionalGeneration(config), tokenizer


def nllb_legacy(folder: Path) -> tuple[Any, Any]:
    model, _ = nllb(folder)
    return model, _nllb_tokenizer(folder, legacy_behaviour=True)


def m2m100(folder: Path) -> tuple[Any, Any]:
    file = sentencepiece_model(folder, "spm")
    vocabulary = {piece: i for i, piece in enumerate([*FAIRSEQ, *pieces(file)])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.M2M100Tokenizer(str(folder / "vocab.json"), file)
    # As in the real one: eight made-up words fill the vocabulary up.
    config = transformers.M2M100Config(**SHAPE, vocab_size=len(vocabulary) + 108, scale_embedding=True)
    return transformers.M2M100ForConditionalGeneration(config), tokenizer


def mbart50(folder: Path) -> tuple[Any, Any]:
    tokenizer = from_pieces("MBart50", folder, "sentencepiece.bpe.model", unigram(SENTENCEPIECE))
    return transformers.MBartForConditionalGeneration(
        transformers.MBartConfig(**SHAPE, vocab_size=len(tokenizer))
    ), tokenizer


def mbart25(folder: Path) -> tuple[Any, Any]:
    tokenizer = from_pieces("MBart", folder, "sentencepiece.bpe.model", unigram(SENTENCEPIECE))
    config = transformers.MBartConfig(**SHAPE | {"decoder_start_token_id": None}, vocab_size=len(tokenizer))
    return transformers.MBartForConditionalGeneration(config), tokenizer


def bart(folder: Path) -> tuple[Any, Any]:
    tokenizer = from_merges("Bart", folder, [*FAIRSEQ, "<mask>"])
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
    return _t5(from_pieces("T5", folder, "spiece.model", unigram(T5_SPECIALS), extra_ids=5))


def mt5(folder: Path) -> tuple[Any, Any]:
    tokenizer = from_pieces("T5", folder, "spiece.model", unigram(T5_SPECIALS), extra_ids=0)
    return _t5(
        tokenizer, transformers.MT5ForConditionalGeneration, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    )


def madlad(folder: Path) -> tuple[Any, Any]:
    tags = [f"<2{code}>" for code in ("en", "es", "fr", "zh_Hant", "translate")]
    tokenizer = from_pieces("T5", folder, "spiece.model", unigram([*T5_SPECIALS, *tags]), extra_ids=0)
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
    vocabulary = ranked([*SENTENCEPIECE, *BYTES], 450, texts)
    tokenizer = from_pieces("Llama", folder, "tokenizer.model", vocabulary, add_bos_token=True)
    return _decoder("Llama", tokenizer, tie_word_embeddings=False, **shape)


def mistral(folder: Path) -> tuple[Any, Any]:
    """Chat with a space before the answer, and a window shorter than the prompts."""
    _, tokenizer = llama(folder)
    tokenizer.chat_template = INST
    return _decoder("Mistral", tokenizer, sliding_window=9)


def _qwen(kind: str, folder: Path, **options: Any) -> tuple[Any, Any]:
    tokenizer = from_merges("Qwen2", folder, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return _decoder(kind, tokenizer, **options)


def qwen2(folder: Path) -> tuple[Any, Any]:
    return _qwen("Qwen2", folder, use_sliding_window=True, sliding_window=7, max_window_layers=1)


def qwen3(folder: Path) -> tuple[Any, Any]:
    return _qwen("Qwen3", folder)


def _gemma(kind: str, folder: Path, **options: Any) -> tuple[Any, Any]:
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", *BYTES]
    tokenizer = from_pieces("Gemma", folder, "tokenizer.model", ranked(specials, 450))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    tokenizer.chat_template = TURNS
    return _decoder(kind, tokenizer, **options)


def gemma(folder: Path) -> tuple[Any, Any]:
    return _gemma("Gemma", folder)


def gemma2(folder: Path) -> tuple[Any, Any]:
    """Soft caps low enough to tell."""
    return _gemma(
        "Gemma2",
        folder,
        sliding_window=8,
        final_logit_softcapping=3.0,
        attn_logit_softcapping=1.5,
        query_pre_attn_scalar=6,
    )


def gemma3(folder: Path) -> tuple[Any, Any]:
    """Its tokenizer has a token for images, the last one, that the text model has no row for."""
    model, tokenizer = _gemma("Gemma3Text", folder, sliding_window=8, query_pre_attn_scalar=6)
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.add_tokens(transformers.AddedToken("<image_soft_token>", special=True))
    return model, tokenizer


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
