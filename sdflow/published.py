"""Import of the authors' released weights (Sun & Chen, 2024): four files of the paper's model at scale 4.

The files are pickled state dicts. They are read without executing code in them. Every key, shape and dtype is
checked, and so are the buffers of the published code (masks, permutations).
"""

import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from .bijection import Chain
from .errors import SDFlowError
from .files import reading
from .layers import ActNorm, AffineCoupling, AffineInjector, InvertibleConv1x1, ScaleShiftNet
from .model import SDFlow, SDFlowConfig
from .networks import RRDB, ConditionExtractor, DenseBlock, FeatureModulation, ModulatedBlock
from .wording import counted

Entry = tuple[str, Tensor]
"""A published key, and our tensor for its values."""

_CONSTANTS = ("u_mask", "l_mask", "l_eye", "initialized")
"""Last parts of the keys of constant buffers."""

TENSOR_BYTES = {
    "hrnet.pth": 34_036_604,
    "contentnet.pth": 1_008_404,
    "degnet.pth": 15_263_658,
    "lrencoder.pth": 7_129_228,
}
"""The size of the tensors in each file."""

MAX_PICKLE_BYTES = 1 << 20
"""The most bytes of names and shapes beside the tensors."""

_NAMED = 3
"""The most keys that an error message names for each fault."""


def read_published(folder: Path) -> SDFlow:
    """The published model, or the parts of it whose files are in a folder.

    ``hrnet.pth`` contains f_HR and f_HF, ``contentnet.pth`` f_LR, ``degnet.pth`` f_Deg and the prior, and
    ``lrencoder.pth`` E. The prior keeps the published law.

    Raises:
        SDFlowError: neither direction is complete, or a file is damaged or has another layout.
    """
    there = [name for name in FILES if (folder / name).is_file()]
    for name in there:
        _check_size(folder / name, TENSOR_BYTES[name])
    model = SDFlow(SDFlowConfig(scale=4, mixture="published"))
    model.drop(part for name in FILES if name not in there for part in FILES[name][0])
    if model.missing("downscale") and model.missing("upscale"):
        raise SDFlowError(
            f"{folder}: expected hrnet.pth with contentnet.pth and degnet.pth (to downscale) or with "
            f"lrencoder.pth (to upscale), found {', '.join(there) or 'none of them'}"
        )
    for name in there:
        _fill(folder / name, dict(FILES[name][1](model)))
    for module in model.modules():
        if isinstance(module, ActNorm):
            module.initialised.fill_(True)
    return model.eval()


def files_of(parts: Collection[str]) -> list[str]:
    """The published files that contain these parts of the model."""
    return [name for name, (held, _) in FILES.items() if set(held) & set(parts)]


def _check_size(path: Path, expected: int) -> None:
    """Compare the size of a file with that of its tensors, before memory is allocated."""
    size = path.stat().st_size
    if not expected // 2 < size < 2 * expected + MAX_PICKLE_BYTES:
        raise SDFlowError(
            f"{path}: expected a whole file of {expected:,} bytes of tensors, found "
            f"one of {counted(size, 'byte')}"
        )


def _fill(path: Path, expected: dict[str, Tensor]) -> None:
    found = read_pickled(path)
    _check_layout(path, expected, found)
    for key, ours in expected.items():
        values = found[key]
        if not values.isfinite().all():
            raise SDFlowError(f"{path}: {key}: expected finite values, found others")
        if not _is_possible(key, ours, values):
            raise SDFlowError(f"{path}: {key}: expected the published constants, found other values")
        ours.detach().copy_(values)


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read a ``.pth`` file of tensors by name. No code in it is executed.

    Raises:
        SDFlowError: the file is damaged or contains something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols
            with reading(path) as file:
                _refuse_compression(file, path.stat().st_size)
                values = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a hostile or damaged pickle can raise anything
        raise SDFlowError(
            f"{path}: expected a whole file of tensors, found one that is damaged or holds something else "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(values, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in values.items()
    ):
        raise SDFlowError(f"{path}: expected tensors by name, found something else")
    return values


def _refuse_compression(file: BinaryIO, size: int) -> None:
    """Refuse compressed files. PyTorch never compresses, but it would inflate a hostile file to any size.

    Raises:
        ValueError: the file has compressed or overlapping members.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        if any(member.compress_type for member in members) or sum(m.file_size for m in members) > size:
            raise ValueError("compressed tensors")
    file.seek(0)


def _check_layout(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    differing = {
        f"{key} {_kind(found[key])} for {_kind(ours)}"
        for key, ours in expected.items()
        if key in found and _kind(found[key]) != _kind(ours)
    }
    faults = {
        "missing": expected.keys() - found.keys(),
        "extra": found.keys() - expected.keys(),
        "of another kind": differing,
    }
    if any(faults.values()):
        listed = "; ".join(f"{len(keys)} {fault} ({_some(keys)})" for fault, keys in faults.items() if keys)
        raise SDFlowError(
            f"{path}: expected the {len(expected)} tensors of the published layout, found {listed}"
        )


def _kind(values: Tensor) -> str:
    layout = "" if values.layout == torch.strided else f" {values.layout}"
    return f"{str(values.dtype).removeprefix('torch.')}{layout} {tuple(values.shape)}"


def _some(keys: set[str]) -> str:
    named = [key[:100] for key in sorted(keys)[:_NAMED]]
    return ", ".join(named + ["..."] * (len(keys) > _NAMED))


def _is_possible(key: str, ours: Tensor, values: Tensor) -> bool:
    last = key.rpartition(".")[2]
    if last in _CONSTANTS:
        return torch.equal(ours, values)
    if last == "w_p":
        return bool(((values == 0) | (values == 1)).all()) and torch.equal(
            values @ values.T, torch.eye(len(values))
        )
    return last != "s_sign" or bool((values.abs() == 1).all())


def _hrnet(model: SDFlow) -> Iterator[Entry]:
    levels = len(model.hr_flow.chain.maps) // 3
    for level in range(levels):
        _, start, steps = model.hr_flow.chain.maps[3 * level : 3 * level + 3]
        yield from _transition(f"blocks.{level}.squeeze_transition", start)
        yield from _steps(f"blocks.{level}.steps", steps)
    split = f"blocks.{levels - 1}.split.conditional_flow"
    yield from _condition(f"{split}.cond_net", model.hf_flow.extractor)
    yield from _steps(f"{split}.additional_flow_steps", model.hf_flow.steps)


def _contentnet(model: SDFlow) -> Iterator[Entry]:
    _, before, steps, after, _ = model.lr_flow.chain.maps
    yield from _transition("blocks.0.squeeze_transition", before)
    yield from _steps("blocks.0.steps", steps)
    yield from _transition("blocks.0.expand_transition", after)


def _degnet(model: SDFlow) -> Iterator[Entry]:
    flow = model.degradation_flow
    yield "means", model.prior.means
    yield "log_stds", model.prior.log_stds
    yield from _condition("deg_net.cond_net.0", flow.extractor.features)
    yield from _convolution("deg_net.cond_net.2", flow.extractor.squeeze)
    yield from _transition("deg_net.squeeze_transition", flow.start.maps[1])
    yield from _steps("deg_net.additional_flow_steps", flow.steps)


def _lrencoder(model: SDFlow) -> Iterator[Entry]:
    encoder = model.encoder
    yield from _convolution("in_conv.1", encoder.conv_in)
    for i, conv in enumerate(encoder.modulation):
        yield from _convolution(f"mf_conv.{1 + 3 * i}", conv)
    for i, block in enumerate(encoder.trunk):
        assert isinstance(block, ModulatedBlock)
        yield from _modulation(f"trunk.{i}.fm1", block.modulate1)
        yield from _convolution(f"trunk.{i}.conv1.1", block.conv1)
        yield from _modulation(f"trunk.{i}.fm2", block.modulate2)
        yield from _convolution(f"trunk.{i}.conv2.1", block.conv2)
    yield from _convolution("out_conv.1", encoder.conv_out)
    yield from _convolution("out_conv.3", encoder.project)


FILES: dict[str, tuple[tuple[str, ...], Callable[[SDFlow], Iterator[Entry]]]] = {
    "hrnet.pth": (("hr_flow", "hf_flow"), _hrnet),
    "contentnet.pth": (("lr_flow",), _contentnet),
    "degnet.pth": (("degradation_flow", "prior"), _degnet),
    "lrencoder.pth": (("encoder",), _lrencoder),
}
"""The published files, each with the parts of the model in it, and its keys with our tensors."""


def _transition(prefix: str, chain: nn.Module) -> Iterator[Entry]:
    assert isinstance(chain, Chain)
    for i in range(2):
        yield from _actnorm(f"{prefix}.transitions.{i}.actnorm", chain.maps[2 * i])
        yield from _mixing(f"{prefix}.transitions.{i}.inv_conv", chain.maps[2 * i + 1])


def _steps(prefix: str, chain: nn.Module) -> Iterator[Entry]:
    assert isinstance(chain, Chain)
    step = -1
    for layer in chain.maps:
        if isinstance(layer, ActNorm):  # every step starts with one
            step += 1
            yield from _actnorm(f"{prefix}.{step}.actnorm", layer)
        elif isinstance(layer, InvertibleConv1x1):
            yield from _mixing(f"{prefix}.{step}.permute", layer)
        elif isinstance(layer, AffineInjector):
            yield from _net(f"{prefix}.{step}.affine_injector.net", layer.net)
        elif isinstance(layer, AffineCoupling):
            yield from _net(f"{prefix}.{step}.affine_coulping.net", layer.net)


def _actnorm(prefix: str, layer: nn.Module) -> Iterator[Entry]:
    assert isinstance(layer, ActNorm)
    yield f"{prefix}.loc", layer.loc
    yield f"{prefix}.log_scale", layer.log_scale
    yield f"{prefix}.initialized", torch.ones((), dtype=torch.uint8)


def _mixing(prefix: str, layer: nn.Module) -> Iterator[Entry]:
    assert isinstance(layer, InvertibleConv1x1)
    ones = torch.ones_like(layer.permutation)
    yield f"{prefix}.w_p", layer.permutation
    yield f"{prefix}.w_l", layer.lower
    yield f"{prefix}.w_u", layer.upper
    yield f"{prefix}.w_s", layer.log_diagonal
    yield f"{prefix}.s_sign", layer.sign
    yield f"{prefix}.l_mask", ones.tril(-1)
    yield f"{prefix}.u_mask", ones.triu(1)
    yield f"{prefix}.l_eye", torch.eye(len(ones))


def _net(prefix: str, net: ScaleShiftNet) -> Iterator[Entry]:
    yield from _convolution(f"{prefix}.conv1.conv2d", net.conv_in)
    yield from _convolution(f"{prefix}.conv2.conv2d", net.conv_mid)
    yield from _convolution(f"{prefix}.conv3.conv", net.conv_out)
    yield f"{prefix}.conv3.logs", net.log_gain


def _condition(prefix: str, extractor: ConditionExtractor) -> Iterator[Entry]:
    yield from _convolution(f"{prefix}.in_conv.1", extractor.conv_in)
    for i, rrdb in enumerate(extractor.trunk):
        assert isinstance(rrdb, RRDB)
        for j, block in enumerate(rrdb.blocks):
            assert isinstance(block, DenseBlock)
            for k, conv in enumerate(block.convs):
                yield from _convolution(f"{prefix}.trunk.{i}.RDB{j + 1}.conv{k + 1}", conv)
    yield from _convolution(f"{prefix}.trans.1", extractor.conv_trunk)
    yield from _convolution(f"{prefix}.out_conv.1", extractor.conv_out[0])
    yield from _convolution(f"{prefix}.out_conv.4", extractor.conv_out[2])


def _modulation(prefix: str, layer: FeatureModulation) -> Iterator[Entry]:
    yield f"{prefix}.log_scale", layer.log_scale
    yield from _convolution(f"{prefix}.affine", layer.affine)


def _convolution(prefix: str, conv: nn.Module) -> Iterator[Entry]:
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    yield f"{prefix}.weight", conv.weight
    yield f"{prefix}.bias", conv.bias
