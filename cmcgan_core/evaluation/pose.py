"""The pose judge: reads from a picture the height of the note that the player plays. For the demonstration set only."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset, PreparedDataset
from cmcgan_core.data.loader import Loader, to_batch
from cmcgan_core.data.synthetic.heights import note_heights
from cmcgan_core.evaluation.metrics import centred_by_class
from cmcgan_core.features.scaling import resize
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.training.loop import cosine
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.rng import derive_seed

#: Passes over the training pairs, pairs per step, and Adam's initial learning rate; a cosine lowers it to 2 %.
EPOCHS, BATCH, RATE = 30, 32, 2e-3
#: Pixels by which the pictures of a batch are shifted at most. Shifts by more than the hands move hide the heights.
SHIFT = 1
#: Pattern of the files of pose judges in the folder of a dataset.
POSE_JUDGES = "judges/pose-*.safetensors"


class PoseJudge(nn.Module):
    """Four strided convolutions, and a linear layer on a 4x4 map, which preserves position.

    Args:
        size: side of the pictures, in pixels.
        classes: number of classes; each shows heights in its own way.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, classes))
        self.size = size

    def forward(self, visual: Tensor) -> Tensor:
        """Return heights (B, classes) of pictures (B, 3, S', S') of any size: one for each class that they may show.

        A height is relative to the mean of its class.
        """
        height: Tensor = self.layers(resize(visual, (self.size, self.size)))
        return height


def train_pose_judge(
    dataset: PreparedDataset,
    network: NetworkConfig,
    *,
    seed: int = 0,
    device: torch.device,
    on_progress: OnProgress = silent,
) -> PoseJudge | None:
    """Train the pose judge on the training split of a demonstration set, once, and keep it with the dataset.

    Its targets are the heights minus the mean of their class, so that knowing the class does not help.

    Args:
        dataset: the dataset to train on.
        network: configuration with the size of the pictures.
        seed: seed of the initial weights and of the order of the pairs.
        device: device to train and use the judge on.
        on_progress: called after every step.

    Returns:
        The judge in evaluation mode; None if the dataset is not a demonstration set.
    """
    split = dataset.split("train")
    height = note_heights(split)
    if height is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = PoseJudge(network.picture_size, len(dataset.classes)).to(device)
    file = dataset.root / "judges" / f"pose-{network.picture_size}-{seed}.safetensors"
    content = json.dumps([dataset.content, EPOCHS, BATCH, RATE, SHIFT])
    if not _load(judge, file, content):
        _train(judge, split, height, network, seed, on_progress)
        with atomic_write(file) as temporary:
            save_file({k: v.cpu() for k, v in judge.state_dict().items()}, temporary, metadata={"content": content})
    return judge.eval()


def _load(judge: PoseJudge, file: Path, content: str) -> bool:
    """Load the weights of a file, and return whether it exists and was trained on this content with this recipe."""
    if not file.is_file():
        return False
    with safe_open(file, framework="pt") as weights:
        if (weights.metadata() or {}).get("content") != content:
            return False
        judge.load_state_dict({name: weights.get_tensor(name) for name in weights.keys()})  # noqa: SIM118
    return True


def _train(
    judge: PoseJudge, split: PairDataset, height: Tensor, network: NetworkConfig, seed: int, on_progress: OnProgress
) -> None:
    """Regress the heights minus their class means, scaled to unit variance."""
    target = centred_by_class(height, split.labels).float()
    target = target / target.std().clamp_min(1e-6)
    device = next(judge.parameters()).device
    loader = Loader(split, network, BATCH, seed, device)
    optimizer = Adam(judge.parameters(), RATE)
    steps, step = EPOCHS * len(loader), 0
    schedule = LambdaLR(optimizer, lambda step: cosine(step / steps, 0.02))
    for epoch in range(EPOCHS):
        for items in loader.order(epoch):
            step += 1
            rng = torch.Generator().manual_seed(derive_seed(seed, step))
            batch = to_batch(split.read(items), network, split.settings, device)
            shift = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=rng).tolist()
            predicted = judge(batch.visual.roll(shift, (2, 3))).gather(1, batch.label[:, None])[:, 0]
            loss = F.mse_loss(predicted, target[items].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            on_progress(Progress("training the pose judge", step, steps, "steps", {"error": float(loss.detach())}))
