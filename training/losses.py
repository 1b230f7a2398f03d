"""Losses, each a function of (made, true) in normalised units, (n, 1, h, w), mean over everything."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mse(made: Tensor, true: Tensor) -> Tensor:
    """Mean squared error."""
    return (made - true).square().mean()


def charbonnier(made: Tensor, true: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean √(e² + ε²): |e| with a rounded corner, 1 HU wide for CT; Lai et al., "LapSRN", CVPR 2017, eq. 6."""
    return ((made - true).square() + epsilon**2).sqrt().mean()


def gaussian_window(sigma: float = 1.5, radius: int = 5) -> Tensor:
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    window = torch.exp(-0.5 * (x / sigma) ** 2)
    return window / window.sum()


def ssim_map(made: Tensor, true: Tensor, data_range: float = 1.0) -> Tensor:
    """SSIM of Wang et al. 2004, Gaussian window of 1.5 pixels, K = 0.01, 0.03, population covariance, inside only."""
    window = gaussian_window().to(made)
    x = torch.cat([made, true, made * made, true * true, made * true], 1)
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, w)
    x = F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    mu1, mu2, xx, yy, xy = x.reshape(n, c, *x.shape[-2:]).split(1, 1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    numerator = (2 * mu1 * mu2 + c1) * (2 * (xy - mu1 * mu2) + c2)
    return numerator / ((mu1.square() + mu2.square() + c1) * (xx - mu1.square() + yy - mu2.square() + c2))


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """1 − SSIM."""
    return 1 - ssim_map(made, true).mean()


def gradient(made: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of the forward differences along x and y."""
    return sum(((made - true).diff(dim=d)).abs().mean() for d in (-1, -2)) / 2


def energy(image: Tensor) -> Tensor:
    """Sum along x and y of the mean squared forward difference: how sharp an image is."""
    return image.diff(dim=-1).square().mean() + image.diff(dim=-2).square().mean()


def lost_contrast(made: Tensor, true: Tensor, sigma: float = 4.0) -> Tensor:
    """What is missing of small structures: |c_true| − c_made·sign(c_true) where positive, times |c_true|; c is a pixel's
    difference from its surroundings (Gaussian of `sigma` pixels). Only too little contrast counts, never too much, and
    structures that stand out count most: squared errors alone are smallest where what is uncertain is made faint.
    """
    window = gaussian_window(sigma, int(2 * sigma)).to(made)
    made, true = (x - _blurred(x, window) for x in (made, true))
    return (F.relu(true.abs() - made * true.sign()) * true.abs()).mean((1, 2, 3))


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    radius = len(window) // 2
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def laplace(expected_error: Tensor, made: Tensor, true: Tensor) -> Tensor:
    """Negative log-likelihood of |made − true| under a Laplace distribution whose mean absolute error is predicted.

    |e| / s + log s, lowest where s is the expected |e|. `made` receives no gradient.
    """
    error, expected_error = (made.detach() - true).abs(), expected_error.clamp_min(1e-6)
    return (error / expected_error + expected_error.log()).mean()
