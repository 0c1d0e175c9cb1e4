"""Tiny random models of four architectures and their tokenizers, built in-process."""

from __future__ import annotations

ARCHITECTURES = ("qwen2", "llama", "mistral", "gpt2")


def make_tokenizer(*, bos: bool):
    """A byte-level tokenizer without merges; with ``bos`` it opens every text as Llama's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["<eos>", "<pad>", "<bos>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(specials + letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", bos_token="<bos>")


def make_model(architecture: str, vocabulary: int):
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(0)
    common = {"vocab_size": vocabulary, "initializer_range": 0.06, "eos_token_id": 0, "pad_token_id": 1}
    if architecture == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=512, bos_token_id=0, **common))
    shape = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 512,
    }
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape, **common))
    if architecture == "mistral":
        return MistralForCausalLM(MistralConfig(head_dim=24, **shape, **common))
    return Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **shape, **common))
