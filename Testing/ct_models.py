"""A tiny network for CT with seeded weights, in a folder of the user's own: tests need no trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from MedSRLib import models


def make_model(
    root: Path, name: str, network: str = "ct_super_resolver", valid_range: dict[str, Any] | None = None, **arguments: Any
) -> Path:
    """Write models/<name> with its card and weights; gives its folder. What it makes is bicubic with a random pattern on top."""
    import torch
    from MedSRLib import networks
    from safetensors.torch import save_file

    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    module = networks.build(network, **arguments)
    if network == "ct_super_resolver":
        torch.nn.init.normal_(module.value_head.weight, std=0.02)
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, folder / models.WEIGHTS)
    (folder / "LICENSE").write_text("none", encoding="utf-8")
    known = {"text": "nothing", "modality": ["CT"], "pixel_mm": [0.5, 1.0]}
    card = {
        "id": name, "title": name, "task": "super_resolve_ct", "network": network, "arguments": arguments, "licence": "none",
        "sha256": models.sha256(folder / models.WEIGHTS), "bytes": (folder / models.WEIGHTS).stat().st_size, "command": "none",
        "training_data": [{"name": "none", "licence": "none"}], "left_open": ["all"], "valid_range": valid_range or known,
        "figures": {"none": 0}, "ideas": [{"none": 0}], "known_failures": ["all"], "default": name == "tiny",
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder
