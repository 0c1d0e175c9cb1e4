"""A tiny GGUF file of a random model, written as llama.cpp's converter writes it."""

from __future__ import annotations

from pathlib import Path

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    file: Path,
    *,
    architecture: str = "qwen2",
    pre: str = "qwen2",
    head: str | None = "Q8_0",
    same_head: bool = True,
    name: str = "tiny",
):
    """Write the file; returns the weights it stands for, head and embeddings as stored.

    ``head``: its quantisation, None where the embeddings serve; ``same_head``: whether it is their matrix.
    """
    import gguf
    import torch
    from tiny_checkpoints import make_model, make_tokenizer

    tokenizer = make_tokenizer(bos=False)
    vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    vocabulary += [f"unused{index}" for index in range(-len(vocabulary) % 32)]
    vocabulary[-1] = "ab"
    model = make_model(architecture, len(vocabulary))
    config = model.config
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<") and token.endswith(">") else 1 for token in vocabulary])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(1)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}")

    state = dict(model.state_dict())
    embeddings = state["model.embed_tokens.weight"]
    state["lm_head.weight"] = embeddings if same_head else torch.randn(embeddings.shape)
    if not head:
        del state["lm_head.weight"]
    read = {}
    for key, tensor in state.items():
        kind = "F32" if tensor.ndim == 1 else head if key == "lm_head.weight" else "Q5_0"
        number = gguf.GGMLQuantizationType[kind]
        turned = architecture == "llama" and any(part in key for part in (".q_proj", ".k_proj"))
        heads = config.num_attention_heads if ".q_proj" in key else config.num_key_value_heads
        values = _turn(tensor, heads).numpy() if turned else tensor.numpy()
        blocks = values if kind == "F32" else gguf.quants.quantize(values, number)
        writer.add_tensor(_rename(key), blocks, raw_dtype=number)
        stored = tensor if kind == "F32" else torch.from_numpy(gguf.quants.dequantize(blocks, number))
        read[key] = _turn_back(stored, heads) if turned else stored
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return read


def _rename(key: str) -> str:
    path, _, ending = key.rpartition(".")
    if path.startswith("model.layers."):
        _, _, layer, part = path.split(".", 3)
        return f"blk.{layer}.{NAMES[part]}.{ending}"
    return f"{NAMES[path]}.{ending}"


def _turn(weight, heads: int):
    """llama.cpp rotates neighbouring pairs of a Llama head's channels, transformers its halves."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def _turn_back(weight, heads: int):
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)
