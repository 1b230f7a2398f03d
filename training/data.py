"""Training samples: two slices, their flows, and the slices that were really acquired between them.

Flows do not change during training, so they are computed once, into training/cache (not committed). Slices of 10 mm
subjects are shrunk in-plane, so that anatomy moves as many pixels over 20 mm as it will over 10 mm in use.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
from MedSRLib import motion
from torch.utils.data import DataLoader, Dataset

from . import synthetic_lesions, volumes

SHRINK = (0.5, 0.6, 0.7, 0.85)
"""In-plane shrinking of the 10 mm subjects for training; 0.5 matches the motion of 5 mm subjects rebuilt from 10 mm."""
VALIDATION_SHRINK = (0.6,)
CARDIAC_SHARE = 0.65


@dataclass(frozen=True)
class Stack:
    """Slices of one volume at one pixel size. flows: (p, 2, h, w, 2) float16, first to second and back, for each pair.

    share: how often its volume is drawn, 1 being as often as the others of its group. lesions: small structures matter in it
    (it also comes with synthetic ones).
    """

    name: str
    group: str
    slices: np.ndarray
    pairs: np.ndarray
    flows: np.ndarray
    share: float = 1.0
    lesions: bool = False

    @property
    def volume(self) -> str:
        return self.name.split("_axis")[0]


def cardiac_sources(which: str) -> list[volumes.Source]:
    shrink = SHRINK if which == "train" else VALIDATION_SHRINK
    return volumes.acdc(which, tuple(volumes.PAPER_PIXEL_MM / s for s in shrink))


def load(sources: list[volumes.Source], root: Path, cache: Path) -> list[Stack]:
    """The stacks of all sources, from the cache where they are already in it."""
    cache.mkdir(parents=True, exist_ok=True)
    out = []
    for source in sources:
        lesions = f"_lesions{source.lesion_copies}" if source.lesion_copies else ""
        path = cache / f"{source.name}_{'_'.join(f'{p:.2f}' for p in source.pixel_mm)}{lesions}.npz"
        if not path.exists():
            _prepare(source, root, path)
        with np.load(path) as data:
            for key in sorted(k.removesuffix("|slices") for k in data if k.endswith("|slices")):
                parts = (data[f"{key}|{part}"] for part in ("slices", "pairs", "flows"))
                out.append(Stack(key, source.group, *parts, source.share, source.lesion_copies > 0))
    return out


def _prepare(source: volumes.Source, root: Path, path: Path) -> None:
    arrays = {}
    for key, slices in volumes.stacks(source, root):
        arrays |= _arrays(key, slices, _pairs(source, slices))
        for copy in range(source.lesion_copies):
            gap = source.gaps[copy % len(source.gaps)]
            with_lesions = synthetic_lesions.add(slices, gap, np.random.default_rng((zlib.crc32(key.encode()), copy)))
            pairs = [p for p in _pairs(source, slices) if p[1] - p[0] == gap]
            arrays |= _arrays(f"{key}_lesions{copy}", with_lesions, pairs)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def _pairs(source: volumes.Source, slices: np.ndarray) -> list[tuple[int, int]]:
    starts = [(gap, i) for gap in source.gaps for i in range(0, len(slices) - gap, source.step)]
    return [(i, i + gap) for gap, i in starts if _has_content(slices[i : i + gap + 1])]


def _arrays(key: str, slices: np.ndarray, pairs: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    flows = [[motion.flow_between(slices[i], slices[j]), motion.flow_between(slices[j], slices[i])] for i, j in pairs]
    return {f"{key}|slices": slices.astype(np.float16), f"{key}|pairs": np.array(pairs), f"{key}|flows": np.array(flows, np.float16)}


def _has_content(slices: np.ndarray) -> bool:
    return bool((slices.std(axis=(1, 2)) > 0.05).all())


class Triples(Dataset):
    """Random crops of (slices a and b, flows both ways, alpha, target) with flips, quarter turns, exchange of a and b,
    changes of gain and offset, and clamping to [0, 1] half of the time (the published protocol clamps, users do not).

    context: also the acquired slices one gap before a and one gap after b (repeated a and b at the ends of the volume).
    """

    def __init__(self, stacks: list[Stack], patch: int, length: int, seed: int, cardiac_share: float = CARDIAC_SHARE) -> None:
        self.stacks, self.patch, self.length, self.seed = stacks, patch, length, seed
        self.cardiac = [s for s in stacks if s.group == "cardiac"]
        others: dict[str, list[Stack]] = {}
        for s in stacks:
            if s.group != "cardiac":
                others.setdefault(s.volume, []).append(s)
        self.others = list(others.values())
        shares = np.array([volume[0].share for volume in self.others])
        self.other_shares = shares / shares.sum() if len(shares) else shares
        self.cardiac_share = cardiac_share if self.cardiac and self.others else float(bool(self.cardiac))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self.seed, index))
        if rng.random() < self.cardiac_share:
            stack = self.cardiac[rng.integers(len(self.cardiac))]
        else:
            volume = self.others[rng.choice(len(self.others), p=self.other_shares)]
            stack = volume[rng.integers(len(volume))]
        while True:
            p = rng.integers(len(stack.pairs))
            i, j = stack.pairs[p]
            target = int(rng.integers(i + 1, j))
            images, flows = crop(*whole(stack, p, target), self.patch, rng)
            if images[3].std() > 0.04:
                break
        images, flows, alpha = augment(images, flows, (target - i) / (j - i), rng)
        return as_tensors(images, flows, alpha) | {"keep_contrast": torch.tensor(float(stack.lesions))}


def whole(stack: Stack, p: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """images (5, h, w): before, a, b, target, after; flows (2, h, w, 2)."""
    i, j = (int(k) for k in stack.pairs[p])
    before, after = max(2 * i - j, 0), min(2 * j - i, len(stack.slices) - 1)
    index = [before if 2 * i - j >= 0 else i, i, j, target, after if 2 * j - i < len(stack.slices) else j]
    return stack.slices[index].astype(np.float32), stack.flows[p].astype(np.float32)


def crop(images: np.ndarray, flows: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    h, w = images.shape[1:]
    pad = max(0, size - h), max(0, size - w)
    if any(pad):
        images = np.pad(images, ((0, 0), (0, pad[0]), (0, pad[1])), mode="edge")
        flows = np.pad(flows, ((0, 0), (0, pad[0]), (0, pad[1]), (0, 0)))
    y, x = (int(rng.integers(0, length - size + 1)) for length in images.shape[1:])
    return images[:, y : y + size, x : x + size], flows[:, y : y + size, x : x + size]


def augment(images: np.ndarray, flows: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Flips, quarter turns (flow vectors turn along), exchange of the two slices, gain, offset, clamping."""
    if rng.random() < 0.5:
        images, flows = images[:, :, ::-1], flows[:, :, ::-1] * np.float32([-1, 1])
    if rng.random() < 0.5:
        images, flows = images[:, ::-1], flows[:, ::-1] * np.float32([1, -1])
    if rng.random() < 0.5:
        images, flows = images.transpose(0, 2, 1), flows.transpose(0, 2, 1, 3)[..., ::-1]
    if rng.random() < 0.5:
        images, flows, alpha = images[[4, 2, 1, 3, 0]], flows[::-1], 1 - alpha
    if rng.random() < 0.5:
        images = np.clip(images, 0, 1)
    gain, offset = np.float32(rng.uniform(0.75, 1.3)), np.float32(rng.uniform(-0.1, 0.1))
    return images * gain + offset, flows, alpha


def as_tensors(images: np.ndarray, flows: np.ndarray, alpha: float) -> dict[str, torch.Tensor]:
    images = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    flows = torch.from_numpy(np.ascontiguousarray(flows.transpose(0, 3, 1, 2), dtype=np.float32))
    return {
        "a": images[1:2], "b": images[2:3], "before": images[0:1], "after": images[4:5], "target": images[3:4],
        "a_to_b": flows[0], "b_to_a": flows[1], "alpha": torch.tensor(alpha, dtype=torch.float32),
    }  # fmt: skip


class Middles(Dataset):
    """Each validation pair once, its middle slice as target, centre-cropped, clamped to [0, 1] as published."""

    def __init__(self, stacks: list[Stack], size: int = 96) -> None:
        self.size = size
        self.items = [(s, p, int(pair.sum()) // 2) for s in stacks for p, pair in enumerate(s.pairs) if (pair[1] - pair[0]) % 2 == 0]
        self.subjects = sorted({s.volume for s in stacks})

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        stack, p, target = self.items[index]
        images, flows = whole(stack, p, target)
        h, w = images.shape[1:]
        y, x = max(0, (h - self.size) // 2), max(0, (w - self.size) // 2)
        part = np.s_[:, y : y + self.size, x : x + self.size]
        sample = as_tensors(np.clip(images[part], 0, 1), flows[part], 0.5)
        return sample | {"subject": torch.tensor(self.subjects.index(stack.volume))}


class SliceData(L.LightningDataModule):
    """Pairs of slices with the slices between them.

    root: folder of the data sets. cache: where stacks and flows are kept. patch: side of a training crop in pixels.
    steps_per_epoch: batches that count as one epoch. other_anatomy: also train on the volumes of splits/<others>.json.
    limit_subjects: only the first few subjects (for tests).
    """

    def __init__(
        self, root: str, cache: str = "training/cache", patch: int = 80, batch_size: int = 12, steps_per_epoch: int = 250,
        seed: int = 2020, other_anatomy: bool = True, others: str = "other", cardiac_share: float = CARDIAC_SHARE, limit_subjects: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        h, limit = self.hparams, self.hparams.limit_subjects or None
        root, cache = Path(h.root), Path(h.cache)
        self.train_stacks = load(cardiac_sources("train")[:limit] + (volumes.others(h.others) if h.other_anatomy else []), root, cache)
        self.validation = Middles(load(cardiac_sources("validation")[:limit], root, cache))

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = self.trainer.current_epoch if self.trainer else 0
        data = Triples(self.train_stacks, h.patch, h.batch_size * h.steps_per_epoch, h.seed + 100_000 * epoch, h.cardiac_share)
        return DataLoader(data, batch_size=h.batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, batch_size=1)
