"""The same from Python: train on a prepared dataset, then listen to noise and to a tone.

usage: python examples/python_api.py DATA [PRESET]
"""

import sys
from pathlib import Path

import torch

import cmcgan_core as cmcgan


def main(data: Path, preset: str = "small") -> None:
    out = Path("runs") / f"{data.name}-from-python"
    cmcgan.train_run(cmcgan.load_config(preset), data, out, resume=True, on_progress=cmcgan.tqdm_progress())
    trained = cmcgan.load_checkpoint(cmcgan.find_checkpoint(out), torch.device("cpu"))
    time = torch.arange(22_050) / 44_100
    sounds = {"noise": torch.rand(22_050) - 0.5, "tone": torch.sin(2 * torch.pi * 440 * time) / 2}
    for name, sound in sounds.items():
        pictures = cmcgan.sound_to_pictures(trained, sound, cmcgan.Choices(samples=4, seed=1))
        print(name, pictures.shape, "mean colour", pictures.mean(axis=(0, 1, 2)).round(1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
