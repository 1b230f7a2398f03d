"""Make a model folder of a checkpoint: python -m training.publish --checkpoint FILE --card training/cards/ID.json [--figures NAME=PATH …].

The card's text is written by hand in training/cards; network, arguments, size, checksum and measured figures are filled in.
--figures puts what an evaluation wrote under that NAME: a JSON file, or a folder with figures.json and pictures.
--arguments JSON changes arguments of the network that training left as they were, and that have no weights.
--begun-from WEIGHTS --share S publishes (1 - S) times the weights that a fine-tuning began from plus S times those it came to
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022): what it learned new, less of what it forgot.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib import models  # noqa: E402

from . import evaluate  # noqa: E402

LICENCES = Path(__file__).parent / "cards"


def between(begun: dict[str, Any], come_to: dict[str, Any], share: float) -> dict[str, Any]:
    """Weights on the line between two of the same network: share 0 gives `begun`, 1 gives `come_to`.

    Raises ValueError where they are not of the same network, or the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share must lie in 0 to 1, not {share}")
    if {k: v.shape for k, v in begun.items()} != {k: v.shape for k, v in come_to.items()}:
        raise ValueError("the weights to begin from are of another network: names or shapes differ")
    return {k: (1 - share) * v + share * come_to[k] if v.is_floating_point() else come_to[k] for k, v in begun.items()}


def save_weights(checkpoint: Path, target: Path, half: bool, begun_from: Path | None = None, share: float = 1.0) -> tuple[str, dict]:
    """Write the network's weights as safetensors; returns the network's name and arguments."""
    import torch
    from safetensors.torch import save_file

    data = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = evaluate.network_weights(checkpoint)
    if begun_from is not None:
        weights = between(evaluate.network_weights(begun_from), weights, share)
    weights = {k: v.contiguous() for k, v in weights.items()}
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    partial = target.with_suffix(".partial")
    save_file(weights, partial)
    partial.chmod(0o644)
    partial.replace(target)
    return data["hyper_parameters"]["network"], dict(data["hyper_parameters"]["arguments"] or {})


def publish(
    checkpoint: Path, card: Path, root: Path, figures: Mapping[str, Path] = {}, half: bool = False,
    begun_from: Path | None = None, share: float = 1.0, arguments: Mapping[str, Any] = {},
) -> Path:  # fmt: skip
    """Write root/<id>/ with weights, card, licence and figures (tables, pictures) and verify what was written."""
    data = json.loads(card.read_text(encoding="utf-8"))
    folder = root / data["id"]
    folder.mkdir(parents=True, exist_ok=True)
    data["network"], data["arguments"] = save_weights(checkpoint, folder / models.WEIGHTS, half, begun_from, share)
    data["arguments"] |= arguments
    data["sha256"], data["bytes"] = models.sha256(folder / models.WEIGHTS), (folder / models.WEIGHTS).stat().st_size
    for name, path in figures.items():
        table = path / "figures.json" if path.is_dir() else path
        data["figures"][name] = json.loads(table.read_text(encoding="utf-8"))
        for picture in sorted(path.glob("*.png")) if path.is_dir() else ():
            shutil.copyfile(picture, folder / picture.name)
    shutil.copyfile(card.with_name(f"{data.pop('licence_file')}.txt"), folder / "LICENSE")
    (folder / "card.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    models.check_weights(models.read_card(folder))
    return folder


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True)
    parser.add_argument("--figures", nargs="*", default=[], help="NAME=PATH: what an evaluation wrote, a folder or a JSON file")
    parser.add_argument("--root", type=Path, default=models.SHIPPED)
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    parser.add_argument("--begun-from", type=Path, default=None, help="checkpoint or .safetensors that the fine-tuning began from")
    parser.add_argument("--share", type=float, default=1.0, help="of the checkpoint in the average with --begun-from")
    parser.add_argument("--arguments", type=json.loads, default={}, help="of the network, as JSON, instead of those it was trained with")
    o = parser.parse_args(arguments)
    figures = {name: Path(path) for name, _, path in (one.partition("=") for one in o.figures)}
    publish(o.checkpoint, o.card, o.root, figures, o.half, o.begun_from, o.share, o.arguments)


if __name__ == "__main__":
    main()
