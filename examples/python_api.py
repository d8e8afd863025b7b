"""Train on a prepared dataset from Python, then classify noise and a tone, and generate pictures of them.

usage: python examples/python_api.py DATA [PRESET]
"""

import sys
from pathlib import Path

import numpy as np

import cmcgan_core as cmcgan


def main(data: Path, preset: str = "small") -> None:
    out = Path("runs") / f"{data.name}-from-python"
    dataset = cmcgan.open_dataset(data)
    cmcgan.train_run(cmcgan.load_config(preset), dataset, out, resume=True, on_progress=cmcgan.tqdm_progress())
    model = cmcgan.load(out)
    time = np.arange(44_100) / 44_100
    sounds = {
        "noise": np.random.default_rng(0).uniform(-0.5, 0.5, len(time)),
        "tone": np.sin(2 * np.pi * 440 * time) / 2,
    }
    for name, sound in sounds.items():
        result = model.classify(sound, sample_rate=44_100)
        pictures = model.sound_to_pictures(sound, 4, sample_rate=44_100, seed=1)
        pictures[0].save(f"{name}.png")
        waveform = model.picture_to_sound(pictures[0], seconds=1)
        level = 20 * np.log10(np.sqrt(np.mean(np.square(waveform))))
        print(f"{name}: {result.label} ({result.confidence:.2f}); the sound of its picture has {level:.0f} dBFS")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
