"""Figures of merit, on plain arrays: fidelity (PSNR, SSIM, VIF), honesty (sharpness, slice noise), overlap (Dice, HD95)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import DependencyError

SSIM_SIGMA = 1.5
"""Gaussian window of Wang et al., "Image quality assessment", IEEE TIP 2004."""
VIF_NOISE = 2.0
"""Variance of the visual noise of Sheikh and Bovik's model, for grey values of 0 to 255."""
VIF_SCALES = 4
MAD_TO_SIGMA = 1.4826
"""Of Gaussian noise: its standard deviation over its median absolute value."""


def psnr(reference: np.ndarray, image: np.ndarray, data_range: float, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB: 10·log10(data_range² / mean squared error), inside `mask`; inf where equal."""
    squared = np.square(reference.astype(np.float64) - image.astype(np.float64))
    error = float(squared[mask].mean() if mask is not None and mask.any() else squared.mean())
    return float("inf") if error == 0 else 10 * float(np.log10(data_range**2 / error))


def ssim(reference: np.ndarray, image: np.ndarray, data_range: float, mask: np.ndarray | None = None) -> float:
    """Structural similarity (Wang et al. 2004) with its Gaussian window, the mean of its map inside `mask`.

    Equal to skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False), which
    leaves out a border of 5 pixels where no mask is given. Slices narrower than the 11-pixel window get edge padding.
    """
    reference, image = (_pad_to(a.astype(np.float64), 11) for a in (reference, image))
    whole = ssim_map(reference, image, data_range)
    if mask is not None and mask.any():
        return float(whole[: mask.shape[0], : mask.shape[1]][mask].mean())
    return float(whole[5:-5, 5:-5].mean())


def ssim_map(x: np.ndarray, y: np.ndarray, data_range: float) -> np.ndarray:
    """(h, w): what `ssim` takes the mean of; edges are mirrored."""
    from scipy.ndimage import gaussian_filter

    def blur(a: np.ndarray) -> np.ndarray:
        return gaussian_filter(a, SSIM_SIGMA, truncate=3.5, mode="reflect")

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))


def _pad_to(image: np.ndarray, side: int) -> np.ndarray:
    short = [max(0, side - n) for n in image.shape]
    return np.pad(image, [(0, s) for s in short], mode="edge") if any(short) else image


def vif(reference: np.ndarray, image: np.ndarray, data_range: float) -> float:
    """Visual information fidelity in the pixel domain: 1 where nothing is lost, above 1 where contrast is raised.

    Sheikh and Bovik, "Image information and visual quality", IEEE TIP 2006, in the multi-scale pixel form of their
    released vifp_mscale: four scales, Gaussian windows of 17, 9, 5 and 3 pixels (sigma = width / 5), each scale the
    valid part of the blurred last one, every second pixel. `data_range` maps the values to the 0–255 of its noise model.
    Scales that the slice is too small for are left out; nan where none is left.
    """
    x, y = (a.astype(np.float64) * (255.0 / data_range) for a in (reference, image))
    kept = total = 0.0
    for scale in range(VIF_SCALES):
        width = 2 ** (VIF_SCALES - scale) + 1
        if scale:
            x, y = (_valid_blur(a, width)[::2, ::2] for a in (x, y))
        if min(x.shape) < width:
            break
        numerator, denominator = _vif_scale(x, y, width)
        kept, total = kept + numerator, total + denominator
    return kept / total if total > 0 else float("nan")


def _vif_scale(x: np.ndarray, y: np.ndarray, width: int) -> tuple[float, float]:
    """Information (nats·2) of both images at one scale: what the distorted channel still tells, and what there was."""
    mx, my = _valid_blur(x, width), _valid_blur(y, width)
    vx = np.maximum(_valid_blur(x * x, width) - mx * mx, 0)
    vy = np.maximum(_valid_blur(y * y, width) - my * my, 0)
    covariance = _valid_blur(x * y, width) - mx * my
    tiny = 1e-10
    gain = covariance / (vx + tiny)
    noise = vy - gain * covariance
    gain, noise = np.where(vx < tiny, 0, gain), np.where(vx < tiny, vy, noise)
    vx = np.where(vx < tiny, 0, vx)
    gain, noise = np.where(vy < tiny, 0, gain), np.where(vy < tiny, 0, noise)
    noise, gain = np.where(gain < 0, vy, noise), np.maximum(gain, 0)
    noise = np.maximum(noise, tiny)
    return float(np.log1p(gain**2 * vx / (noise + VIF_NOISE)).sum()), float(np.log1p(vx / VIF_NOISE).sum())


def _valid_blur(image: np.ndarray, width: int) -> np.ndarray:
    """Gaussian window of `width` pixels, sigma = width / 5, where it fits wholly."""
    from scipy.ndimage import correlate1d

    at = np.arange(width) - width // 2
    kernel = np.exp(-(at**2) / (2 * (width / 5) ** 2))
    kernel /= kernel.sum()
    half = width // 2
    blurred = correlate1d(correlate1d(image, kernel, axis=0), kernel, axis=1)
    return blurred[half : image.shape[0] - half, half : image.shape[1] - half]


def noise_level(image: np.ndarray) -> float:
    """Noise standard deviation of one slice: the mean absolute response of a mask that planes and edges cancel in.

    Immerkær, "Fast noise variance estimation", CVIU 1996: exact in expectation for white Gaussian noise; fine texture
    adds to it. 0 for a slice narrower than 3 pixels.
    """
    if min(image.shape) < 3:
        return 0.0
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(_immerkaer(image)[1:-1, 1:-1]).mean())


def robust_noise_level(image: np.ndarray, inside: np.ndarray) -> float:
    """The same inside a mask, by the median of the response: edges and vessels, which are few, do not add to it.

    Noise that is smooth over pixels, as of a CT's soft kernel, is underestimated by both.
    """
    return MAD_TO_SIGMA / 6 * float(np.median(np.abs(_immerkaer(image)[inside])))


def _immerkaer(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve

    return convolve(image.astype(np.float64), np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float))


def band_powers(image: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Mean power spectral density in each band of spatial frequency, squared units a pixel, under a Hann window, mean taken away.

    edges: (n + 1) increasing radii in cycles a pixel, 0.5 being the image's Nyquist frequency. nan where a band holds no frequency.
    """
    power = windowed_power(image - image.mean())
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None])
    bands = [power[(radius >= low) & (radius < high)] for low, high in zip(edges, edges[1:], strict=False)]
    return np.array([band.mean() if band.size else np.nan for band in bands])


def windowed_power(image: np.ndarray) -> np.ndarray:
    """(h, w // 2 + 1): power spectral density on the half spectrum, squared units a pixel, under a Hann window: borders do not leak."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None]
    return np.abs(np.fft.rfft2(image * window)) ** 2 / max(float(np.square(window).sum()), 1e-30)


def snli(generated: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Slice-noise level inconsistency: |noise of the generated slice − its acquired neighbours' mean| / that mean; 0 is best.

    The idea and the name are from Fang et al., "CycleINR", CVPR workshops 2024: generated slices that are smoother than
    acquired ones make the noise alternate from slice to slice. This relative form on `noise_level` is our own.
    """
    expected = (noise_level(before) + noise_level(after)) / 2
    return abs(noise_level(generated) - expected) / expected if expected > 0 else float("nan")


def sharpness(generated: np.ndarray, acquired: np.ndarray) -> float:
    """Gradient energy of a generated slice relative to an acquired one: 1 is as sharp, less is blurred. nan where flat."""
    energy = gradient_energy(acquired)
    return gradient_energy(generated) / energy if energy > 0 else float("nan")


def gradient_energy(image: np.ndarray) -> float:
    """Mean squared gradient magnitude, by differences of neighbouring pixels, in squared units a pixel."""
    image = image.astype(np.float64)
    return float(np.square(np.diff(image, axis=0)).mean() + np.square(np.diff(image, axis=1)).mean())


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2·|a ∩ b| / (|a| + |b|) of two boolean masks; 1 where both are empty."""
    size = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 1.0 if size == 0 else 2 * int(np.count_nonzero(np.logical_and(a, b))) / size


def hausdorff95(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    """95th percentile (the larger of both ways) of the distances between two masks' surfaces, in mm.

    spacing_mm: in array axis order (z, y, x). inf where one mask is empty and the other is not, 0 where both are.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    a, b = a.astype(bool), b.astype(bool)
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else float("inf")
    rims = [m & ~binary_erosion(m) for m in (a, b)]
    far = [distance_transform_edt(~rim, sampling=spacing_mm) for rim in rims]
    return float(max(np.percentile(far[1][rims[0]], 95), np.percentile(far[0][rims[1]], 95)))


def mutual_information_bits(a: np.ndarray, b: np.ndarray, bins: int, limits: tuple[float, float]) -> float:
    """Mutual information of two images of one shape, in bits: that of their joint histogram of `bins` equal bins each over `limits`.

    From 0 (independent) to the smaller of both entropies (`entropy_bits`), itself at most log2(bins). nan of nothing.
    """
    joint = np.histogram2d(np.ravel(a), np.ravel(b), bins, (limits, limits))[0]
    return _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint)


def entropy_bits(image: np.ndarray, bins: int, limits: tuple[float, float]) -> float:
    """Shannon entropy of an image's histogram of `bins` equal bins over `limits`, in bits; nan of nothing."""
    return _entropy(np.histogram(np.ravel(image), bins, limits)[0])


def _entropy(counts: np.ndarray) -> float:
    total = counts.sum()
    share = counts[counts > 0] / total if total else np.array([np.nan])
    return float(-(share * np.log2(share)).sum())


def wilcoxon_greater(a: np.ndarray, b: np.ndarray) -> float:
    """p of the one-sided Wilcoxon signed-rank test that `a` is greater than `b`, pairwise; nan where all pairs are equal."""
    try:
        from scipy.stats import wilcoxon
    except ImportError as error:
        raise DependencyError("the Wilcoxon test needs SciPy", fix="install scipy") from error
    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[np.isfinite(difference)]
    return float(wilcoxon(difference, alternative="greater").pvalue) if np.any(difference != 0) else float("nan")
