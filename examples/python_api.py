"""The same from Python: train on a prepared dataset, then ask the model about noise and about a tone.

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
        said = model.classify(sound, sample_rate=44_100)
        pictures = model.sound_to_pictures(sound, 4, sample_rate=44_100, seed=1)
        pictures[0].save(f"{name}.png")
        back = model.picture_to_sound(pictures[0], seconds=1)
        loudness = 20 * np.log10(np.sqrt(np.mean(np.square(back))))
        print(f"{name} sounds like {said.label} ({said.confidence:.2f}); its picture sounds of {loudness:.0f} dB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
