"""The inception block of TimesNet as one convolution, through spectra on a CPU.

The mean of the library's same-padded square convolutions is one convolution with the mean of their
zero-padded kernels. Images are sequences folded by a period, time first: (rows * period, B,
channels).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

if TYPE_CHECKING:
    from torch import Tensor


class InceptionBlock(nn.Module):
    """The mean of same-padded convolutions of sides 1, 3, 5, ..., as one kernel.

    A tap that n of the N kernels reach enters the mean n times with 1 / N. The parameter holds the
    mean of the kernels that reach a tap, and `kernel` weighs it by n / N: an adaptive optimizer,
    whose step does not depend on the scale of a gradient, then moves the mean as it would by moving
    the N kernels.
    """

    share: Tensor

    def __init__(self, in_channels: int, out_channels: int, num_kernels: int) -> None:
        super().__init__()
        side = 2 * num_kernels - 1
        offset = torch.arange(side) - (num_kernels - 1)
        ring = torch.maximum(offset.abs().unsqueeze(1), offset.abs())
        share = (num_kernels - ring) / num_kernels
        self.register_buffer("share", share.view(side, side, 1, 1), persistent=False)
        # Variance of the mean of the kernels that reach a ring, each drawn as the library draws it:
        # 2 / (out_channels side^2).
        variance = 2.0 / (out_channels * (2.0 * torch.arange(num_kernels) + 1.0) ** 2)
        reached = torch.arange(num_kernels, 0, -1)
        deviation = (variance.flip(0).cumsum(0).flip(0) / reached**2).sqrt()
        weight = torch.randn(side, side, in_channels, out_channels)
        self.weight = nn.Parameter(weight * deviation[ring].view(side, side, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def kernel(self) -> Tensor:
        """The mean kernel, of shape (side, side, in_channels, out_channels)."""
        return self.weight * self.share


class SpectralConvolution(nn.Module):
    """Same-padded convolution of sequences folded by one period.

    Taps that can only touch padding are cut: at most `rows - 1` rows and `period - 1` columns
    matter on each side. On a CPU the convolution is a product of spectra, of a length at which the
    wrapped part falls on cut pixels; the transforms are small matrix products. Elsewhere it is
    `conv2d`.
    """

    def __init__(self, steps: int, period: int, reach: int) -> None:
        super().__init__()
        self.steps, self.period = steps, period
        self.rows = -(-steps // period)
        self.reach = (min(reach, self.rows - 1), min(reach, period - 1))
        self.cut = tuple(slice(reach - r, reach + r + 1) for r in self.reach)
        size = (self.rows + self.reach[0], period + self.reach[1])
        half = size[1] // 2 + 1
        # Positive frequencies along the period stand for their negatives too.
        double = torch.full((half, 1), 2.0, dtype=torch.float64)
        double[0] = 1.0
        if size[1] % 2 == 0:
            double[-1] = 1.0
        rows, columns = (torch.arange(n) for n in (self.rows, period))
        tap_rows, tap_columns = (torch.arange(-r, r + 1) for r in self.reach)
        tables = {
            "image": (_rotations(-rows, size[0]), _waves(-columns, size[1])),
            # A convolution layer correlates: its kernel enters conjugated.
            "kernel": (_rotations(tap_rows, size[0]), _waves(tap_columns, size[1])),
            "output": (
                _rotations(-rows, size[0]) / size[0],
                _waves(-columns, size[1]) * double.repeat(2, 1) / size[1],
            ),
        }
        for name, (by_row, by_column) in tables.items():
            self.register_buffer(f"{name}_rows", by_row.float(), persistent=False)
            self.register_buffer(f"{name}_columns", by_column.float(), persistent=False)

    def padded(self, sequence: Tensor) -> Tensor:
        """The sequence (T, B, D) with zeros up to whole rows of the image."""
        missing = self.rows * self.period - self.steps
        return F.pad(sequence, (0, 0, 0, 0, 0, missing)) if missing else sequence

    def forward(self, image: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Convolve (rows * period, B, in) with (side, side, in, out) to (rows * period, B, out)."""
        kernel = kernel[self.cut]
        if image.device.type != "cpu":
            return self.direct(image, kernel, bias)
        tables = [getattr(self, f"{name}_{axis}") for name in _TABLES for axis in _AXES]
        with torch.autocast("cpu", enabled=False):
            image, kernel = image.to(tables[0].dtype), kernel.to(tables[0].dtype)
            convolved: Tensor = _SpectralProduct.apply(image, kernel, *tables)  # type: ignore[no-untyped-call]
            return convolved + bias

    def direct(self, image: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """The same by `conv2d`, from the cut kernel; images with channels last."""
        _, n_windows, width = image.shape
        pixels = image.transpose(0, 1).reshape(n_windows, self.rows, self.period, width)
        convolved = F.conv2d(
            pixels.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding=self.reach
        )
        return convolved.permute(2, 3, 0, 1).flatten(0, 1)


_TABLES = ("image", "kernel", "output")
_AXES = ("rows", "columns")


class _SpectralProduct(torch.autograd.Function):
    """Convolution through spectra; images, kernels and outputs each with two transform tables.

    The spectra, twice the size of what they transform, are computed again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - its attributes are what one sets
        image: Tensor,
        kernel: Tensor,
        *tables: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(image, kernel, *tables)
        by_image = _spectrum(image, *tables[:2])
        by_kernel = _spectrum(kernel.flatten(0, 1), *tables[2:4])
        return _from_spectrum(_multiply(by_image, by_kernel), *tables[4:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        image, kernel, *tables = ctx.saved_tensors
        spectrum = _spectrum(grad.contiguous(), *tables[4:])
        by_kernel = _spectrum(kernel.flatten(0, 1), *tables[2:4])
        grad_image = _multiply(spectrum, by_kernel.transpose(2, 3), signs=(1, -1))
        del by_kernel
        by_image = _spectrum(image, *tables[:2])
        grad_kernel = _multiply(by_image.transpose(2, 3), spectrum, signs=(-1, 1))
        return (
            _from_spectrum(grad_image, *tables[:2]),
            _from_spectrum(grad_kernel, *tables[2:4]).view(kernel.shape),
            *(None for _ in tables),
        )


def _waves(positions: Tensor, size: int) -> Tensor:
    """Real and imaginary parts of exp(2 pi i k p / size), k >= 0, as rows: (2 K, positions)."""
    frequencies = torch.arange(size // 2 + 1, dtype=torch.float64)
    angle = 2.0 * math.pi / size * torch.outer(frequencies, positions.double())
    return torch.cat([angle.cos(), angle.sin()])


def _rotations(positions: Tensor, size: int) -> Tensor:
    """Multiplication by exp(2 pi i k p / size) of complex numbers as pairs of real ones.

    Rows are (part, k), columns (p, part), part 0 the real one and 1 the imaginary.
    """
    angle = 2.0 * math.pi / size * torch.outer(torch.arange(size).double(), positions.double())
    cosine, sine = angle.cos(), angle.sin()
    real = torch.stack([cosine, -sine], dim=-1)
    imaginary = torch.stack([sine, cosine], dim=-1)
    return torch.stack([real, imaginary]).view(2 * size, 2 * len(positions))


def _spectrum(pixels: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Spectrum (2, frequencies, a, b) of pixels (rows * columns, a, b)."""
    columns = by_column.shape[1]
    half = by_column.shape[0] // 2
    folded = pixels.reshape(-1, columns, pixels[0].numel())
    along_columns = torch.matmul(by_column, folded)  # (rows, 2 K, a b)
    both = by_row @ along_columns.view(by_row.shape[1], -1)
    return both.view(2, by_row.shape[0] // 2 * half, *pixels.shape[1:])


def _from_spectrum(spectrum: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """The transposed map of `_spectrum`; with scaled tables its inverse."""
    along_columns = by_row.t() @ spectrum.view(by_row.shape[0], -1)
    folded = along_columns.view(-1, by_column.shape[0], spectrum[0, 0].numel())
    return torch.matmul(by_column.t(), folded).view(-1, *spectrum.shape[2:])


def _multiply(left: Tensor, right: Tensor, *, signs: tuple[int, int] = (1, 1)) -> Tensor:
    """Matrix products per frequency of complex pairs (2, F, a, b) and (2, F, b, c).

    A sign of -1 conjugates its factor.
    """
    product = left.new_empty(2, left.shape[1], left.shape[2], right.shape[3])
    torch.bmm(left[0], right[0], out=product[0])
    product[0].baddbmm_(left[1], right[1], alpha=-signs[0] * signs[1])
    torch.bmm(left[0], right[1], out=product[1])
    product[1].baddbmm_(left[1], right[0], beta=signs[1], alpha=signs[0])
    return product
