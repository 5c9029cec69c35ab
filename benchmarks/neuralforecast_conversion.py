"""Weights between our models and NeuralForecast's, which compute the same functions."""

# ruff: noqa: ANN401, SLF001  (the library is not typed; weights lie in private parts)

from __future__ import annotations

import random
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from paretocast.errors import SettingsError
from paretocast.models.nhits import NHITS, _Block, geometric_ladder
from paretocast.models.tft import TFT
from paretocast.models.timesnet import TimesNet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paretocast.models.base import Batch, QuantileModel, WindowShape
    from paretocast.models.inception import InceptionBlock


def build_library_module(name: str, shape: WindowShape, **arguments: Any) -> Any:
    """The module `neuralforecast.models.NAME` for windows of a shape, training settings default.

    Quantile outputs are equally spaced, `n_levels` of them: the loss counts outputs here.
    """
    import neuralforecast.models
    from neuralforecast.losses.pytorch import MQLoss

    n_levels = shape.n_levels
    past = {"hist_exog_list": [f"past_{i}" for i in range(shape.n_past)]} if shape.n_past else {}
    known = [f"known_{i}" for i in range(shape.n_known)] or None
    with _random_state_kept():
        return getattr(neuralforecast.models, name)(
            h=shape.horizon_steps,
            input_size=shape.input_steps,
            futr_exog_list=known,
            loss=MQLoss(quantiles=[(i + 1) / (n_levels + 1) for i in range(n_levels)]),
            **past,
            **arguments,
        )


def to_neuralforecast(model: QuantileModel) -> Any:
    """The library's module with a model's weights; its training settings are its defaults.

    The library's N-HiTS starts from the last observation: with an anchor, its forecast is that plus
    the correction. Maps of the library's TFT for the static context, which exist there without
    being used, are zero. The library's TimesNet has no place for past covariates and the horizon of
    known ones: a warning says when weights stay behind; it also picks its periods in every batch.
    """
    match model:
        case NHITS():
            module = build_library_module("NHITS", model.shape, **nhits_arguments(model))
            module.load_state_dict(module.state_dict() | nhits_library_state(model))
        case TFT():
            module = _tft_to_library(model)
        case TimesNet():
            module = _timesnet_to_library(model)
        case _:
            raise TypeError(f"{type(model).__name__} has no module in NeuralForecast")
    return module


def load_neuralforecast(model: QuantileModel, state: Mapping[str, Tensor]) -> None:
    """Give a model the weights of a library module of the same sizes.

    What the library's TimesNet does not see, past covariates and the horizon of known ones, gets
    weights of zero.

    Raises
    ------
    SettingsError
        If a weight is missing or has another size, or a TFT has static covariates.
    """
    match model:
        case NHITS():
            _load_nhits(model, state)
        case TFT():
            _load_tft(model, state)
        case TimesNet():
            _load_timesnet(model, state)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The library's constructors seed every generator; put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _nhits_blocks(model: NHITS) -> list[_Block]:
    return [cast("_Block", block) for block in model.blocks]


def nhits_arguments(model: NHITS) -> dict[str, Any]:
    """Arguments of `neuralforecast.models.NHITS`, windows, loss and training left out."""
    block, n_stacks = _nhits_blocks(model)[0], len(model.pool_sizes)
    width = block.output.in_features
    return {
        "stack_types": ["identity"] * n_stacks,
        "n_blocks": [len(model.blocks) // n_stacks] * n_stacks,
        "mlp_units": [[width, width]] * len(block.hidden),
        "n_pool_kernel_size": model.pool_sizes,
        "n_freq_downsample": geometric_ladder(max(1, model.shape.horizon_steps // 2), n_stacks),
        "dropout_prob_theta": block.dropout,
    }


def nhits_library_state(model: NHITS) -> dict[str, Tensor]:
    """The weights of an N-HiTS under the library's names."""
    return {name: torch.cat(own, dim=-1).detach() for name, own in _nhits_parts(model)}


def _load_nhits(model: NHITS, state: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, own in _nhits_parts(model):
            widths = [part.shape[-1] for part in own]
            given = state.get(name)
            if given is None or given.shape != (*own[0].shape[:-1], sum(widths)):
                raise SettingsError(
                    f"the weights lack {name} of the size that this N-HiTS has; "
                    f"expected a NeuralForecast NHITS with {nhits_arguments(model)}"
                )
            for part, values in zip(own, torch.split(given, widths, dim=-1), strict=True):
                part.copy_(values)


def _nhits_parts(model: NHITS) -> list[tuple[str, list[Tensor]]]:
    """The library's names, each with the weights that it joins along the last axis."""
    return [
        (f"blocks.{index}.{name}", own)
        for index, block in enumerate(_nhits_blocks(model))
        for name, own in _nhits_block_parts(block)
    ]


def _nhits_block_parts(block: _Block) -> list[tuple[str, list[Tensor]]]:
    parts: list[tuple[str, list[Tensor]]] = [
        ("layers.0.weight", [block.residual_weight, block.covariate_weight]),
        ("layers.0.bias", [block.bias]),
    ]
    # Activation and, unless its rate is 0, dropout have places in the library's sequence.
    places = 3 if block.dropout > 0.0 else 2
    for index, layer in enumerate([*block.hidden, block.output]):
        name = f"layers.{1 + places * index}"
        parts += [
            (f"{name}.weight", [cast("Tensor", layer.weight)]),
            (f"{name}.bias", [cast("Tensor", layer.bias)]),
        ]
    return parts


# Prefix in our TFT, prefix in the library's.
_TFT_NAMES = {
    "past_embedding.": "embedding.hist_exog_embedding_",
    "known_embedding.": "embedding.futr_exog_embedding_",
    "target_embedding.": "embedding.tgt_embedding_",
    "history_selection.": "temporal_encoder.history_vsn.",
    "horizon_selection.": "temporal_encoder.future_vsn.",
    "history_encoder.": "temporal_encoder.history_encoder.",
    "horizon_encoder.": "temporal_encoder.future_encoder.",
    "input_gate.": "temporal_encoder.input_gate.lin.",
    "input_norm.": "temporal_encoder.input_gate_ln.",
    "enrichment.": "temporal_fusion_decoder.enrichment_grn.",
    "attention.qkv.": "temporal_fusion_decoder.attention.qkv_linears.",
    "attention.out.": "temporal_fusion_decoder.attention.out_proj.",
    "attention_gate.": "temporal_fusion_decoder.attention_gate.lin.",
    "attention_norm.": "temporal_fusion_decoder.attention_ln.",
    "positionwise.": "temporal_fusion_decoder.positionwise_grn.",
    "decoder_gate.": "temporal_fusion_decoder.decoder_gate.lin.",
    "decoder_norm.": "temporal_fusion_decoder.decoder_ln.",
    "output.": "output_adapter.",
}


def tft_library_parts(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """The library's names for a weight of our TFT, with the part of it that each holds."""
    own = next(prefix for prefix in _TFT_NAMES if name.startswith(prefix))
    library, rest = _TFT_NAMES[own], name.removeprefix(own)
    if "selection" in own and not rest.startswith("joint."):
        layer, kind = rest.rsplit("_", 1)
        layer = {"glu": "glu.lin", "norm": "layer_norm.ln"}.get(layer, layer)
        return [(f"{library}var_grns.{i}.{layer}.{kind}", part) for i, part in enumerate(value)]
    if "selection" in own or own in {"enrichment.", "positionwise."}:
        rest = rest.replace("joint.", "joint_grn.").replace("glu.", "glu.lin.")
        rest = rest.replace("norm.", "layer_norm.ln.")
    return [(library + rest, value)]


def _tft_to_library(model: TFT) -> Any:
    module = build_library_module(
        "TFT",
        model.shape,
        hidden_size=model.output.in_features,
        n_head=model.num_attention_heads,
        n_rnn_layers=model.history_encoder.num_layers,
        dropout=model.enrichment.dropout,
    )
    state = module.state_dict()
    for name in state:
        if name.endswith("lin_c.weight"):
            state[name] = torch.zeros_like(state[name])
    for name, value in model.state_dict().items():
        for library_name, part in tft_library_parts(name, value):
            state[library_name] = part.reshape(state[library_name].shape)
    module.load_state_dict(state)
    return module


def _load_tft(model: TFT, state: Mapping[str, Tensor]) -> None:
    if any(name.startswith("static_encoder") for name in state):
        raise SettingsError("the weights hold a static encoder; this TFT has no static input")
    own = model.state_dict()
    for name, value in own.items():
        parts = tft_library_parts(name, value)
        for library, part in parts:
            if library not in state or state[library].numel() != part.numel():
                raise SettingsError(
                    f"the weights lack {library} of {part.numel()} values; expected a "
                    f"NeuralForecast TFT of hidden size {model.output.in_features} with "
                    f"{model.shape.n_past} past and {model.shape.n_known} known covariates"
                )
        own[name] = torch.cat([state[part].flatten() for part, _ in parts]).view(value.shape)
    model.load_state_dict(own)


@torch.no_grad()
def tft_variable_weights(model: TFT, batch: Batch) -> dict[str, Tensor]:
    """Mean selection weight of every variable, over windows and steps; each entry sums to 1.

    Returns
    -------
    dict
        `history`, of shape (P + max(K, 1) + 1,): past covariates, known covariates, target;
        `horizon`, of shape (max(K, 1),): known covariates. Orders are those of `Batch`; with
        K = 0 the one known covariate is the last target, repeated.
    """
    history_values, horizon_values = model._variables(batch)
    history_vectors, horizon_vectors = model._embeddings()
    history = model.history_selection.weights(history_values, *history_vectors)
    horizon = model.horizon_selection.weights(horizon_values, *horizon_vectors)
    return {"history": history.mean((0, 1)), "horizon": horizon.mean((0, 1))}


def _timesnet_to_library(model: TimesNet) -> Any:
    unseen = [part.weight for part in (model.history_past, model.horizon_known) if part]
    if any(bool(weight.any()) for weight in unseen):
        warnings.warn(
            "NeuralForecast's TimesNet sees neither past covariates nor the horizon of known "
            "ones; their weights are left out and its forecasts will differ",
            stacklevel=3,
        )
    module = build_library_module(
        "TimesNet",
        replace(model.shape, n_past=0),
        hidden_size=model.norm.normalized_shape[0],
        conv_hidden_size=model.conv_hidden_size,
        top_k=len(model.periods),
        num_kernels=model.num_kernels,
        encoder_layers=len(model.blocks),
        dropout=model.dropout,
    )
    state = module.state_dict()
    for own, library in timesnet_names(model).items():
        state[library] = model.state_dict()[own].reshape(state[library].shape)
    for prefix, inception in timesnet_inceptions(model):
        for i, kernel in enumerate(kernels_of(inception)):
            state[f"{prefix}.kernels.{i}.weight"] = kernel
            state[f"{prefix}.kernels.{i}.bias"] = inception.bias
    module.load_state_dict(state)
    return module


def _load_timesnet(model: TimesNet, state: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    try:
        for name, library in timesnet_names(model).items():
            own[name] = state[library].reshape(own[name].shape)
        for unseen in ("history_past.weight", "horizon_known.weight"):
            if unseen in own:
                own[unseen] = torch.zeros_like(own[unseen])
        model.load_state_dict(own)
        for prefix, inception in timesnet_inceptions(model):
            names = [f"{prefix}.kernels.{i}" for i in range(model.num_kernels)]
            load_kernels(
                inception,
                [state[f"{name}.weight"] for name in names],
                [state[f"{name}.bias"] for name in names],
            )
    except (KeyError, RuntimeError) as error:
        raise SettingsError(
            f"the weights do not fit: {error}; expected a NeuralForecast TimesNet with "
            f"{model.shape.n_known} known covariates and {model.num_kernels} kernels"
        ) from error


def timesnet_names(model: TimesNet) -> dict[str, str]:
    """Names here and in the library of the weights that are the same numbers."""
    names = {
        "value_weight": "enc_embedding.value_embedding.tokenConv.weight",
        "extension.weight": "predict_linear.weight",
        "extension.bias": "predict_linear.bias",
        "norm.weight": "layer_norm.weight",
        "norm.bias": "layer_norm.bias",
        "projection.weight": "projection.weight",
        "projection.bias": "projection.bias",
    }
    if model.history_known is not None:
        names["history_known.weight"] = "enc_embedding.temporal_embedding.embed.weight"
    return names


def timesnet_inceptions(model: TimesNet) -> list[tuple[str, InceptionBlock]]:
    """Inception blocks with their names in the library."""
    return [
        (f"model.{i}.conv.{2 * j}", inception)
        for i, block in enumerate(model._blocks())
        for j, inception in enumerate((block.narrow, block.widen))
    ]


def kernels_of(inception: InceptionBlock) -> list[Tensor]:
    """Kernels of sides 1, 3, ... with a block's mean, (out_channels, in_channels, side, side)."""
    reach = len(inception.share) // 2
    taps = [slice(reach - i, reach + i + 1) for i in range(reach + 1)]
    weight = inception.weight.detach()
    return [weight[tap, tap].permute(3, 2, 0, 1).contiguous() for tap in taps]


@torch.no_grad()
def load_kernels(
    inception: InceptionBlock, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> None:
    """Give a block the mean of kernels of sides 1, 3, ... and of their biases."""
    mean = torch.zeros_like(inception.weight)
    reach = len(inception.share) // 2
    for i, weight in enumerate(weights):
        tap = slice(reach - i, reach + i + 1)
        mean[tap, tap] += weight.permute(2, 3, 1, 0).to(mean) / len(weights)
    inception.weight.copy_(mean / inception.share)
    inception.bias.copy_(torch.stack(list(biases)).mean(0))
