"""From micro-CT to the clinical CT of the same slice: reconstruction kernel, slice profile, eight times larger pixels, noise.

Images are HU, (…, y, x), pixels square. The order is physical: average through the slice (`slice_profile`), blur by the kernel's
modulation transfer function at micro-CT resolution, mean over each 8×8 block, noise. Wiener deconvolution goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from MedSRLib import metrics
from scipy import fft

FACTOR = 8
"""Micro-CT pixels in a clinical one, along each in-plane axis."""
MARGIN = 6
"""Clinical pixels around a patch that its blur may reach: more than 99.9 % of every kernel below at pixels of 0.6 to 0.8 mm."""
FLANK = 0.3
"""Width of the slice profile's flanks as a share of the slice thickness."""


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel by its modulation transfer function (MTF), without the pixel's own.

    f50, f10: frequencies in line pairs a centimetre where it is 0.5 and 0.1. boost: edge enhancement, see `mtf`.
    """

    f50: float
    f10: float
    boost: float = 0.0


KERNELS = {
    "soft": Kernel(3.2, 5.3),
    "FC13": Kernel(3.7, 6.0),
    "standard": Kernel(4.4, 6.8),
    "detail": Kernel(5.6, 8.2),
    "FC30": Kernel(7.1, 10.0, 0.3),
    "FC52": Kernel(7.8, 10.8, 0.6),
    "body": Kernel(4.0, 6.4),
    "lung": Kernel(6.4, 9.0, 0.45),
}
"""Named kernels. The 50 % points of FC13 (soft tissue), FC30 and FC52 (bone, lung) were measured: 0.37, 0.71 and 0.78 cycles a
mm, Anam et al., "An algorithm for automated modulation transfer function measurement using an edge of a PMMA phantom", JACMP 2018
(PMC6236841). The others are ours, spread between and beside them. Of a Gaussian f10 / f50 is 1.82 (Nickoloff and Riley, "A
simplified approach for modulation transfer function determinations in computed tomography", Med. Phys. 1985: PSFs of five
scanners are near it); what the noise of LIDC-IDRI-0314 (Philips Brilliance 16P, filter D) shows of its filter falls to a half at
5.4 and to a tenth at 7.4 lp/cm, a ratio of 1.4. The 10 % points lie between, 1.4 to 1.65; they and the boosts are assumed."""
TRAIN_KERNELS = ("soft", "FC13", "standard", "detail", "FC30", "FC52")
TEST_KERNELS = ("body", "lung")
"""Never trained on. Neither is a stranger: their 50 % points lie between those of the training kernels."""


def mtf(kernel: Kernel, frequency: np.ndarray) -> np.ndarray:
    """MTF at `frequency` in cycles a mm: exp(−a u^p)·(1 + boost·u²), u = f / f50, with a and p such that f50 and f10 hold."""
    ratio, b = kernel.f10 / kernel.f50, kernel.boost
    a = np.log(2 * (1 + b))
    p = np.log(np.log(10 * (1 + b * ratio**2)) / a) / np.log(ratio)
    u = np.asarray(frequency) * 10 / kernel.f50
    return np.exp(-a * u**p) * (1 + b * u**2)


def frequencies(shape: tuple[int, int], pixel_mm: float, alias: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """Signed (fy, fx) in cycles a mm of the half spectrum of an image (h, w), moved by whole sampling frequencies."""
    h, w = shape
    fy, fx = fft.fftfreq(h, pixel_mm)[:, None], fft.rfftfreq(w, pixel_mm)[None]
    return fy + alias[0] / pixel_mm, fx + alias[1] / pixel_mm


@lru_cache(maxsize=512)
def transfer(kernel: Kernel, shape: tuple[int, int], pixel_mm: float) -> np.ndarray:
    """(h, w // 2 + 1) float32: the kernel's MTF on the half spectrum of an image (h, w) of pixels `pixel_mm`."""
    return mtf(kernel, np.hypot(*frequencies(shape, pixel_mm))).astype(np.float32)


def blurred(image: np.ndarray, kernel: Kernel, pixel_mm: float) -> np.ndarray:
    """(…, h, w) convolved with the kernel's point spread function in the frequency domain; periodic at its borders."""
    shape = image.shape[-2:]
    return fft.irfft2(fft.rfft2(image) * transfer(kernel, shape, pixel_mm), s=shape)


def mean_by_factor(image: np.ndarray) -> np.ndarray:
    """(…, 8h, 8w) → (…, h, w): the mean over each clinical pixel."""
    *rest, h, w = image.shape
    return image.reshape(*rest, h // FACTOR, FACTOR, w // FACTOR, FACTOR).mean((-3, -1))


def projected(micro: np.ndarray, kernel: Kernel, clinical_mm: float) -> np.ndarray:
    """(…, 8h, 8w) slice-averaged micro-CT → (…, h, w) clinical CT without noise; edges are mirrored, not wrapped."""
    return projected_inside(with_margin(micro), kernel, clinical_mm)


def with_margin(micro: np.ndarray) -> np.ndarray:
    """(…, 8h, 8w) → (…, 8h + 16·MARGIN, 8w + 16·MARGIN), mirrored at the edges."""
    return np.pad(micro, [(0, 0)] * (micro.ndim - 2) + [(MARGIN * FACTOR,) * 2] * 2, mode="symmetric")


def projected_inside(wide: np.ndarray, kernel: Kernel, clinical_mm: float) -> np.ndarray:
    """As `projected`, of micro-CT that has MARGIN clinical pixels too many on each side."""
    inner = slice(MARGIN * FACTOR, -MARGIN * FACTOR)
    return mean_by_factor(blurred(wide, kernel, clinical_mm / FACTOR)[..., inner, inner])


@lru_cache(maxsize=512)
def noise_power(kernel: Kernel, shape: tuple[int, int], clinical_mm: float) -> np.ndarray:
    """(h, w // 2 + 1): shape of the noise power spectrum of filtered backprojection, scaled to a variance of 1.

    White noise in the projections, filtered by |f|·W(f) and backprojected, has the power |f|·W(f)² (Kijewski and Judy, "The noise
    power spectrum of CT images", Phys. Med. Biol. 1987). W is the kernel with the mean over a pixel; what lies above the clinical
    Nyquist frequency is folded back by the sampling, as theirs is.
    """
    power = np.zeros((shape[0], shape[1] // 2 + 1))
    for alias in ((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)):
        fy, fx = frequencies(shape, clinical_mm, alias)
        f = np.hypot(fy, fx)
        power += f * (mtf(kernel, f) * np.sinc(fy * clinical_mm) * np.sinc(fx * clinical_mm)) ** 2
    return power / _mean_of_half(power, shape[1])


def _mean_of_half(power: np.ndarray, width: int) -> float:
    """Mean over the whole spectrum of which `power` is the half that rfft2 keeps."""
    doubled = np.full(power.shape[1], 2.0)
    doubled[0] = 1
    if width % 2 == 0:
        doubled[-1] = 1
    return float((power * doubled).sum() / (power.shape[0] * width))


def noise(shape: tuple[int, ...], kernel: Kernel, clinical_mm: float, sigma_hu: float, rng: np.random.Generator) -> np.ndarray:
    """(…, h, w) HU: Gaussian noise of standard deviation `sigma_hu`, independent from slice to slice.

    Made wider than asked for by MARGIN, so that opposite borders do not know each other.
    """
    *rest, h, w = shape
    wide = h + 2 * MARGIN, w + 2 * MARGIN
    white = rng.standard_normal((*rest, *wide), dtype=np.float32)
    made = fft.irfft2(fft.rfft2(white) * np.sqrt(noise_power(kernel, wide, clinical_mm)).astype(np.float32), s=wide)
    return sigma_hu * made[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def acquired(micro: np.ndarray, kernel: Kernel, clinical_mm: float, sigma_hu: float, rng: np.random.Generator) -> np.ndarray:
    """(…, 8h, 8w) slice-averaged micro-CT in HU → (…, h, w) clinical CT in HU, noise of `sigma_hu` included."""
    clean = projected(micro, kernel, clinical_mm)
    return clean + noise(clean.shape, kernel, clinical_mm, sigma_hu, rng) if sigma_hu else clean


LEAST_KEPT = 1e-3
"""Of A Aᵀ, beside its largest eigenvalue: frequencies that the kernel weakens to less than 3 % are not divided by it."""


def pseudo_inverse(clinical: np.ndarray, kernel: Kernel, clinical_mm: float) -> np.ndarray:
    """A⁺ = Aᵀ(A Aᵀ)⁻¹ of A = `projected`: (h, w) → (8h, 8w), the smallest image that A makes `clinical` of, up to LEAST_KEPT.

    A is shift-invariant on the clinical grid, so that A Aᵀ is diagonal in its Fourier domain; edges are mirrored.
    """
    wide = np.pad(clinical, MARGIN, mode="symmetric")
    impulse = np.zeros_like(wide)
    impulse[0, 0] = 1
    kept = fft.rfft2(mean_by_factor(blurred(_adjoint(impulse, kernel, clinical_mm), kernel, clinical_mm / FACTOR))).real
    fine = _adjoint(fft.irfft2(fft.rfft2(wide) / np.maximum(kept, LEAST_KEPT * kept.max()), s=wide.shape), kernel, clinical_mm)
    inner = slice(MARGIN * FACTOR, -MARGIN * FACTOR)
    return fine[inner, inner]


def _adjoint(clinical: np.ndarray, kernel: Kernel, clinical_mm: float) -> np.ndarray:
    """Aᵀ of periodic images (the point spread function is symmetric): each pixel spread over its 8×8 finer ones, then blurred."""
    spread = clinical.repeat(FACTOR, 0).repeat(FACTOR, 1) / FACTOR**2
    return blurred(spread, kernel, clinical_mm / FACTOR)


def slice_profile(thickness_mm: float, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """(offsets in mm, weights summing to 1), both (n,), n odd: a flat top with raised-cosine flanks, `thickness_mm` wide at half height.

    Multi-slice spiral CT at thin collimation has about this bell with a flat top; FLANK says how steep.
    """
    reach = thickness_mm * (1 + FLANK) / 2
    count = int(reach / step_mm)
    offsets = np.arange(-count, count + 1) * step_mm
    into = (np.abs(offsets) - thickness_mm * (1 - FLANK) / 2) / (thickness_mm * FLANK)
    weights = 0.5 * (1 + np.cos(np.pi * np.clip(into, 0, 1)))
    return offsets, weights / weights.sum()


def wiener(clinical: np.ndarray, kernel: Kernel, clinical_mm: float, sigma_hu: float) -> np.ndarray:
    """(h, w) HU → (h, w) HU: Wiener deconvolution with the known kernel, pixel and noise.

    H*/(|H|² + N/S): N the noise's power spectrum, S the scene's, from the image itself: the mean over rings of frequency of the
    image's power (Hann window), less the noise, over |H|². At most the frequencies that sampling kept are restored.
    """
    wide = np.pad(clinical - clinical.mean(), MARGIN, mode="reflect")
    fy, fx = frequencies(wide.shape, clinical_mm)  # type: ignore[arg-type]
    h = mtf(kernel, np.hypot(fy, fx)) * np.sinc(fy * clinical_mm) * np.sinc(fx * clinical_mm)
    n = sigma_hu**2 * noise_power(kernel, wide.shape, clinical_mm)  # type: ignore[arg-type]
    seen = ring_means(metrics.windowed_power(wide), np.hypot(fy, fx), clinical_mm)
    scene = np.maximum(seen - n, 1e-3 * seen)  # what is left of the blurred scene; S = scene / |H|²
    restored = fft.irfft2(fft.rfft2(wide) * scene / (scene + n + 1e-6 * scene.max()) / np.maximum(h, 0.05), s=wide.shape)
    return restored[MARGIN:-MARGIN, MARGIN:-MARGIN] + clinical.mean()


def ring_means(power: np.ndarray, frequency: np.ndarray, pixel_mm: float, rings: int = 24) -> np.ndarray:
    """`power` replaced by its mean over rings of equal `frequency`, linear between them."""
    width = frequency.max() / rings
    index = np.minimum((frequency / width).astype(int), rings - 1)
    count = np.maximum(np.bincount(index.ravel(), minlength=rings), 1)
    means = np.bincount(index.ravel(), power.ravel(), rings) / count
    return np.interp(frequency, (np.arange(rings) + 0.5) * width, means)
