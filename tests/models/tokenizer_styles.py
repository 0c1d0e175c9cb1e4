"""Tokenizers of four families, built in-process: how a text begins, spaces are kept and a chat is written."""

from __future__ import annotations

QWEN2 = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{% if loop.first %}Today: {{ strftime_now('%d %b %Y') }}\n{% endif %}"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }}[/INST]"
    "{% elif message['role'] == 'assistant' %} {{ message['content'] | trim }}{{ eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
SPECIALS = {
    "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "mistral": ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
    "gemma": ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
}
STYLES = tuple(SPECIALS)
TURN_END = {"qwen2": "<|im_end|>", "llama3": "<|eot_id|>", "mistral": "</s>", "gemma": "<end_of_turn>"}


def make_style(style: str):
    """A tokenizer of one family, with the merges that would join a prompt's last sign to a rule's first ones."""
    from transformers import PreTrainedTokenizerFast

    specials = SPECIALS[style]
    byte_level = style in ("qwen2", "llama3")
    tokenizer = _byte_level(specials) if byte_level else _with_spaces_kept(specials, prefix=style == "mistral")
    names = {
        "qwen2": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "mistral": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        "gemma": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
    }[style]
    if "bos_token" in names:
        _open_with(tokenizer, names["bos_token"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.chat_template = {"qwen2": QWEN2, "llama3": LLAMA3, "mistral": MISTRAL, "gemma": GEMMA}[style]
    return fast


def _byte_level(specials):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [("Ċ", "i"), ("Ċi", "f"), ("i", "f"), ("Ċ", "Ċ")]
    pieces = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _with_spaces_kept(specials, *, prefix):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    merges = [("\n", "i"), ("▁", "i"), ("▁i", "f"), ("i", "f")]
    letters = [chr(code) for code in range(32, 127) if chr(code) != " "] + ["\n", "▁"]
    raw = [f"<0x{value:02X}>" for value in range(256)]
    pieces = list(dict.fromkeys([*specials, *raw, *letters, *("".join(pair) for pair in merges)]))
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
        steps.append(decoders.Strip(" ", 1, 0))
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _open_with(tokenizer, bos):
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
