"""An idea that was tried: continue training on the volume's own kept slices before rebuilding the others.

python -m training.adapt --model slice-refiner --data FOLDER --out FOLDER --steps 100: scores it by the published protocol.
The left-out slices are never seen: the model learns to rebuild every other kept slice, over twice the gap, shrunk in-plane.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

import torch  # noqa: E402
from MedSRLib import models, motion  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from training import data, evaluate, protocol, refiner, volumes  # noqa: E402

SHRINK = (0.5, 0.6, 0.7)


def own_stacks(kept: np.ndarray) -> list[data.Stack]:
    """Kept slices as training stacks: each one rebuilt from its neighbours, shrunk as in training."""
    out = []
    for shrink in SHRINK:
        slices = volumes.resampled(kept, (1.0, 1.0), 1 / shrink, blur=0.5)
        pairs = [(i, i + 2) for i in range(len(slices) - 2)]
        flows = [[motion.flow_between(slices[i], slices[j]), motion.flow_between(slices[j], slices[i])] for i, j in pairs]
        out.append(data.Stack(f"own_{shrink}", "cardiac", slices.astype(np.float16), np.array(pairs), np.array(flows, np.float16)))
    return out


def adapted(module: Any, kept: np.ndarray, steps: int, learning_rate: float = 1e-4) -> Any:
    """A copy of the network after `steps` of training on the kept slices alone."""
    lesson = refiner.Refiner(arguments={}, ssim_weight=0.6)
    lesson.network = copy.deepcopy(module).train()
    lesson.log_dict = lambda *_, **__: None  # no trainer listens
    optimizer = torch.optim.AdamW(lesson.network.parameters(), lr=learning_rate)
    samples = data.Triples(own_stacks(kept), 56, 6 * steps, seed=1)
    for index, batch in enumerate(DataLoader(samples, batch_size=6)):
        optimizer.zero_grad()
        lesson.training_step(batch, index).backward()
        torch.nn.utils.clip_grad_norm_(lesson.network.parameters(), 1.0)
        optimizer.step()
    return lesson.network.eval()


def rebuild(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray, module: Any, steps: int) -> np.ndarray:
    return evaluate.learned(kept, positions, targets, adapted(module, kept, steps))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    module = models.build(options.model)
    tried = {"adapted": partial(rebuild, module=module, steps=options.steps), "as it is": partial(evaluate.learned, module=module)}
    cases = protocol.cases(options.data)
    rows = {name: [row for case in cases for row in protocol.score(case, method)] for name, method in tried.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "adapted.json").write_text(json.dumps(evaluate.table(rows), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
