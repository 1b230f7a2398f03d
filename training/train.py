"""The training command: python -m training.train fit --config training/configs/NAME.yaml (Lightning's own options follow)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from lightning.pytorch.cli import LightningCLI  # noqa: E402


def main(arguments: list[str] | None = None) -> LightningCLI:
    """Run LightningCLI: model and data module are named by class_path in the configuration."""
    return LightningCLI(args=arguments, save_config_kwargs={"overwrite": True}, seed_everything_default=2020)


if __name__ == "__main__":
    main()
