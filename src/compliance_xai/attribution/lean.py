"""A pass through Llama-like models (Llama, Qwen2, Mistral) with fewer trips to memory than the model's own code.

Large intermediate results are overwritten, and the last layer computes only the positions that predict the target.
Projections, norms and embeddings are the model's own modules, so adapters and 4-bit weights work as they are. A model
qualifies by its parts; that the result is the model's is measured before use, as for every path of the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.anatomy import has_hooks, unwrap

if TYPE_CHECKING:
    import torch

    from compliance_xai.attribution.packed import Pass

_PARTS = {
    "model": {"embed_tokens", "layers", "norm", "rotary_emb"},
    "layer": {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"},
    "attention": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "mlp": {"gate_proj", "up_proj", "down_proj", "act_fn"},
}


def why_not_lean(model: Any) -> str:
    """Why a model is not Llama-like; empty if its parts are."""
    base = unwrap(model).base_model
    layers = getattr(base, "layers", None)
    if layers is None or not len(layers):
        return "its layers are not where Llama has them"
    wrong = _parts(base) ^ _PARTS["model"]
    for layer in layers:
        wrong |= _parts(layer) ^ _PARTS["layer"]
        wrong |= _parts(getattr(layer, "self_attn", None)) ^ _PARTS["attention"]
        wrong |= _parts(getattr(layer, "mlp", None)) ^ _PARTS["mlp"]
    if wrong:
        return f"unlike Llama in {', '.join(sorted(wrong))}"
    if "silu" not in type(layers[0].mlp.act_fn).__name__.lower():
        return f"its activation is {type(layers[0].mlp.act_fn).__name__}"
    if len({parameter.device for parameter in base.parameters()}) > 1:
        return "it is split over devices"
    # These are not called as a whole, so a hook on them would be left out.
    opened = [base, *(part for layer in layers for part in (layer, *layer.children(), layer.mlp.act_fn))]
    if any(map(has_hooks, opened)):
        return "its layers have hooks"
    return ""


def _parts(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()} if module is not None else set()


def run_lean(model: Any, work: Pass) -> torch.Tensor:
    """Hidden states at the targets, shape (rows, targets, hidden); see ``packed.Forward``."""
    base = unwrap(model).base_model
    hidden_PH = base.embed_tokens(work.ids_P)
    cos_PD, sin_PD = (wave[0] for wave in base.rotary_emb(hidden_PH[None], work.positions_P[None]))
    targets_Q = work.targets_RT.flatten().to(hidden_PH.device)
    for number, layer in enumerate(base.layers):
        last = number == len(base.layers) - 1
        normed_PH = _normalise(layer.input_layernorm, hidden_PH)
        key_PGD, value_PGD = _heads(layer, "k_proj", normed_PH), _heads(layer, "v_proj", normed_PH)
        key_PGD = _rotate(key_PGD, cos_PD, sin_PD)
        if last:
            hidden_PH, normed_PH, cos_PD, sin_PD = (
                states.index_select(0, targets_Q) for states in (hidden_PH, normed_PH, cos_PD, sin_PD)
            )
        mixed_QHD = work.attend(
            number,
            _rotate(_heads(layer, "q_proj", normed_PH), cos_PD, sin_PD),
            key_PGD,
            value_PGD,
            blocks=work.target_blocks if last else work.blocks,
            window=_window(layer.self_attn),
            scaling=layer.self_attn.scaling,
        )
        hidden_PH = hidden_PH.add_(layer.self_attn.o_proj(mixed_QHD.flatten(1)))
        hidden_PH = hidden_PH.add_(_feed_forward(layer.mlp, _normalise(layer.post_attention_layernorm, hidden_PH)))
    return base.norm(hidden_PH).view(*work.targets_RT.shape, -1)


def _normalise(norm: Any, states_PH: torch.Tensor) -> torch.Tensor:
    """RMS norm without a table of squares; reduced precision is left to the model, which rounds in its own way."""
    import torch

    if states_PH.dtype not in (torch.float32, torch.float64):
        return norm(states_PH)
    length_P1 = torch.linalg.vector_norm(states_PH, dim=-1, keepdim=True)
    mean_P1 = length_P1.square_().div_(states_PH.shape[-1])
    return torch.mul(states_PH, mean_P1.add_(norm.variance_epsilon).rsqrt_()).mul_(norm.weight)


def _window(attention: Any) -> int | None:
    """Qwen2 says it layer by layer, Mistral once for all layers, Llama has none."""
    return getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))


def _heads(layer: Any, projection: str, normed_PH: torch.Tensor) -> torch.Tensor:
    projected = getattr(layer.self_attn, projection)(normed_PH)
    return projected.view(len(normed_PH), -1, layer.self_attn.head_dim)


def _rotate(states_PHD: torch.Tensor, cos_PD: torch.Tensor, sin_PD: torch.Tensor) -> torch.Tensor:
    """Rotary positions: halves of a head are the two coordinates of each plane.

    Where torch has complex numbers of the dtype, the coordinates of a plane come out next to each other: queries and
    keys alike, so their products are the same.
    """
    import torch

    half = states_PHD.shape[-1] // 2
    x, y = states_PHD[..., :half], states_PHD[..., half:]
    if states_PHD.dtype in (torch.float32, torch.float64):
        planes = torch.complex(x, y).mul_(torch.complex(cos_PD[:, None, :half], sin_PD[:, None, :half]))
        return torch.view_as_real(planes).flatten(-2)
    cos, sin = cos_PD[:, None], sin_PD[:, None]
    turned = torch.empty_like(states_PHD)
    torch.mul(x, cos[..., :half], out=turned[..., :half]).addcmul_(y, sin[..., :half], value=-1)
    torch.mul(y, cos[..., half:], out=turned[..., half:]).addcmul_(x, sin[..., half:])
    return turned


def _feed_forward(mlp: Any, normed_PH: torch.Tensor) -> torch.Tensor:
    import torch

    gate_PI = torch.nn.functional.silu(mlp.gate_proj(normed_PH), inplace=True)
    return mlp.down_proj(gate_PI.mul_(mlp.up_proj(normed_PH)))
