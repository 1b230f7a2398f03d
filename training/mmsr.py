"""Losses of unpaired super-resolution, each by its equation. Images (n, 1, h, w), normalised; every result is a mean.

Zheng et al. 2020 (multi-modality super-resolution loss), Zhu et al. 2017 (CycleGAN), Liu et al. 2017 (UNIT).
x: clinical patch, y: micro-CT patch, x^SR = G1(x), y^LR = G2(y). f averages by 8, g repeats by 8 (networks/scales.py).
"""

from __future__ import annotations

from MedSRLib.networks import scales
from torch import Tensor

from . import losses

C1, C2, N = 0.02, 0.06, 1.0
"""Of eq. 1, as the paper sets them. Wang et al. 2004 square theirs, (0.01 L)² and (0.03 L)²; these are not squared, so
they damp structure of low contrast."""
WEIGHTS = (2.0, 1.0, 1.0, 1.0)
"""λ1 to λ4 of eq. 4."""
FORMS = {"standard": 2.0, "printed": 1.0}
"""Factor of μx·μy in eq. 1."""


def structure(x: Tensor, y: Tensor, form: str = "standard", c1: float = C1, c2: float = C2, n: float = N) -> Tensor:
    """L_S, eq. 1: {1 − (k μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2))} / N, mean over the batch.

    Means, variances and covariance are those of the whole image, as the equation has them, not of a window. k is 1 in the
    equation as printed, which lacks SSIM's factor 2: two equal images then still lose, and the loss is lowest for an image
    somewhat darker than the other. form="standard" puts the 2 back, "printed" leaves it out.
    """
    mean_x, mean_y = (image.mean((1, 2, 3), keepdim=True) for image in (x, y))
    dx, dy = x - mean_x, y - mean_y
    var_x, var_y, covariance = (product.mean((1, 2, 3)) for product in (dx * dx, dy * dy, dx * dy))
    mean_x, mean_y = mean_x.flatten(), mean_y.flatten()
    luminance = (FORMS[form] * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    return ((1 - luminance * contrast) / n).mean()


def upsampled(y: Tensor, y_lr: Tensor) -> Tensor:
    """L_U, eq. 2: MSE(y, g(y^LR)). y: (n, 1, 8h, 8w), y_lr: (n, 1, h, w)."""
    return losses.mse(y, scales.nearest(y_lr))


def downsampled(x: Tensor, x_sr: Tensor) -> Tensor:
    """L_D, eq. 3: MSE(x, f(x^SR)). x: (n, 1, h, w), x_sr: (n, 1, 8h, 8w).

    Eq. 4 writes L_D(x, f(x^SR)): f is already in eq. 3, and the image is averaged once.
    """
    return losses.mse(x, scales.average(x_sr))


def multi_modality(
    x: Tensor, x_sr: Tensor, y: Tensor, y_lr: Tensor, weights: tuple[float, ...] = WEIGHTS, form: str = "standard"
) -> dict[str, Tensor]:
    """What eq. 4 adds to the objective of CycleGAN: λ1 L_S(x, f(x^SR)) + λ2 L_S(y, g(y^LR)) + λ3 L_D + λ4 L_U, by term."""
    return {
        "structure_x": weights[0] * structure(x, scales.average(x_sr), form),
        "structure_y": weights[1] * structure(y, scales.nearest(y_lr), form),
        "downsampled": weights[2] * downsampled(x, x_sr),
        "upsampled": weights[3] * upsampled(y, y_lr),
    }


def adversarial(judged: Tensor) -> Tensor:
    """What a generator pays for fakes that are found out: mean (D(fake) − 1)², least squares as in Zhu 2017, section 4."""
    return (judged - 1).square().mean()


def discrimination(judged_real: Tensor, judged_fake: Tensor) -> Tensor:
    """What a discriminator pays: ½ mean (D(real) − 1)² + ½ mean D(fake)². The half slows it, Zhu 2017, appendix."""
    return ((judged_real - 1).square().mean() + judged_fake.square().mean()) / 2


def absolute(made: Tensor, true: Tensor) -> Tensor:
    """Mean |made − true|: cycle consistency and identity (Zhu 2017, eq. 2 and section 5.2), reconstruction (Liu 2017:
    the likelihood is a Laplace distribution)."""
    return (made - true).abs().mean()


def divergence(mean: Tensor) -> Tensor:
    """KL(N(mean, 1) ‖ N(0, 1)) = ½ mean², averaged over the code's elements; Liu 2017, eqs. 3 and 5."""
    return mean.square().mean() / 2
