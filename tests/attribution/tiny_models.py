"""Tiny random models, made in the process; weights large enough for a wrong position to show."""

CLAUSE = (
    "4.2.1 Doors on an accessible route shall have a clear width of not less than 760 mm, except where Table 3 applies."
)
RULE = "if(has(route,door)),then(obligation(greaterThanEqual(door.width,760 mm)))"
PROMPT = "Clause: {clause}\nRule:\n"
FAMILIES = ("qwen2", "llama", "mistral", "gemma", "gemma2", "gpt2")
CONTEXT = 256


def build_model(family: str, vocabulary: int, std: float = 0.08, attention: str = "eager"):
    import torch
    import transformers

    torch.manual_seed(1)
    shape = {"vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": CONTEXT}
    shape |= {"initializer_range": std}
    if family == "qwen2":
        config = transformers.Qwen2Config(**shape, tie_word_embeddings=True)
    elif family == "llama":
        config = transformers.LlamaConfig(**shape)
    elif family == "mistral":
        config = transformers.MistralConfig(**shape, sliding_window=16)  # shorter than any clause here
    elif family == "gemma":
        config = transformers.GemmaConfig(**shape, head_dim=8)
    elif family == "gemma2":
        config = transformers.Gemma2Config(
            **shape, head_dim=8, sliding_window=48, final_logit_softcapping=2.0, attn_logit_softcapping=5.0
        )
    else:
        config = transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=std
        )
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()
