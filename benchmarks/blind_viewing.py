"""Ask a viewer to name the instruments in generated pictures, without labels, and count the right answers.

`sheets` draws pictures of the test split, PER_CLASS of each class, generated from their sounds and real, in random
order. It writes them as numbered sheets `generated.png` and `real.png`, and the true classes as `key.json`. Give the
viewer the sheets and the list of classes, but not the key. The viewer writes one class name per line, in the order of
the numbers, in `generated.txt` and `real.txt`. `score` prints the accuracies and confusion tables of these answers.

usage: python benchmarks/blind_viewing.py sheets DATA OUT [CHECKPOINT] [SEED]
       python benchmarks/blind_viewing.py score OUT
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import PairDataset, open_dataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import to_pictures, translate
from cmcgan_core.modality import Direction
from cmcgan_core.run_folder import find_checkpoint

PER_CLASS = 4
#: Side of a picture on a sheet, pixels; pictures in a row; height of the number above each picture.
SIDE, COLUMNS, CAPTION = 192, 8, 18
KINDS = ("generated", "real")


def draw_rows(split: PairDataset, rng: np.random.Generator) -> list[int]:
    """Return the rows of PER_CLASS random pairs of each class, in random order."""
    labels = np.array([pair.label for pair in split.pairs])
    rows = [rng.choice(np.flatnonzero(labels == label), PER_CLASS, replace=False) for label in sorted(set(labels))]
    return [int(row) for row in rng.permutation(np.concatenate(rows))]


def write_sheet(path: Path, pictures: np.ndarray) -> None:
    """Write pictures (N, S, S, 3), numbered from 1, as one picture."""
    lines = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), lines * (SIDE + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        line, column = divmod(number, COLUMNS)
        place = (column * (SIDE + 4), line * (SIDE + CAPTION))
        draw.text((place[0] + 4, place[1] + 2), str(number + 1), "black")
        enlarged = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(enlarged, (place[0], place[1] + CAPTION))
    sheet.save(path)


def sheets(data: str, out: str, checkpoint: str = "box", seed: str = "0") -> None:
    """Write the sheets and the key. The generated and the real sheet show different pairs."""
    cpu, rng, folder = torch.device("cpu"), np.random.default_rng(int(seed)), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    trained, dataset = load_checkpoint(find_checkpoint(Path(checkpoint)), cpu), open_dataset(data)
    split, key = dataset.nonempty_split("test"), {}
    settings: FeatureSettings = split.settings
    for kind in KINDS:
        rows = draw_rows(split, rng)
        batch = to_batch(split.read(rows), trained.about.config.network, settings, cpu)
        visual = batch.visual
        if kind == "generated":
            visual = translate(trained, Direction.A2V, batch.audio, SamplingOptions(seed=int(seed)))
        write_sheet(folder / f"{kind}.png", to_pictures(visual))
        key[kind] = [split.pairs[row].label for row in rows]
    (folder / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")
    print(f"{folder}: classes {', '.join(dataset.classes)}")


def score(out: str) -> None:
    """Print the accuracy and the wrong answers of each class, for generated and for real pictures."""
    folder = Path(out)
    key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    for kind in KINDS:
        answers = (folder / f"{kind}.txt").read_text(encoding="utf-8").split()
        if len(answers) != len(key[kind]):
            raise SystemExit(f"{folder / kind}.txt has {len(answers)} answers; the sheet has {len(key[kind])} pictures")
        right = sum(answer == truth for answer, truth in zip(answers, key[kind], strict=True))
        print(f"{kind}: {right} of {len(answers)} right ({right / len(answers):.3f})")
        for label in sorted(set(key[kind])):
            given = [answer for answer, truth in zip(answers, key[kind], strict=True) if truth == label]
            wrong = [answer for answer in given if answer != label]
            print(f"  {label:12} {len(given) - len(wrong)} of {len(given)}", *wrong)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"sheets": sheets, "score": score}[command](*arguments)
