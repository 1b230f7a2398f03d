"""Make a model folder of a checkpoint: python -m training.publish --checkpoint FILE --card training/cards/ID.json [--figures DIR].

The card's text is written by hand in training/cards; network, arguments, size, checksum and measured figures are filled in.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib import models  # noqa: E402

LICENCES = Path(__file__).parent / "cards"


def save_weights(checkpoint: Path, target: Path, half: bool) -> tuple[str, dict]:
    """Write the network's weights as safetensors; returns the network's name and arguments."""
    import torch
    from safetensors.torch import save_file

    data = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = {k.removeprefix("network."): v.contiguous() for k, v in data["state_dict"].items() if k.startswith("network.")}
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    partial = target.with_suffix(".partial")
    save_file(weights, partial)
    partial.chmod(0o644)
    partial.replace(target)
    return data["hyper_parameters"]["network"], dict(data["hyper_parameters"]["arguments"] or {})


def publish(checkpoint: Path, card: Path, root: Path, figures: Path | None = None, half: bool = False) -> Path:
    """Write root/<id>/ with weights, card, licence and figures (table, pictures) and verify what was written."""
    data = json.loads(card.read_text(encoding="utf-8"))
    folder = root / data["id"]
    folder.mkdir(parents=True, exist_ok=True)
    data["network"], data["arguments"] = save_weights(checkpoint, folder / models.WEIGHTS, half)
    data["sha256"], data["bytes"] = models.sha256(folder / models.WEIGHTS), (folder / models.WEIGHTS).stat().st_size
    if figures is not None:
        data["figures"]["acdc_5mm"] = json.loads((figures / "figures.json").read_text(encoding="utf-8"))
        for picture in sorted(figures.glob("*.png")):
            shutil.copyfile(picture, folder / picture.name)
    shutil.copyfile(card.with_name(f"{data.pop('licence_file')}.txt"), folder / "LICENSE")
    (folder / "card.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    models.check_weights(models.read_card(folder))
    return folder


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True)
    parser.add_argument("--figures", type=Path, default=None, help="folder that training.evaluate wrote")
    parser.add_argument("--root", type=Path, default=models.SHIPPED)
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    options = parser.parse_args(arguments)
    publish(options.checkpoint, options.card, options.root, options.figures, options.half)


if __name__ == "__main__":
    main()
