"""The pose judge: from a picture to how high the note is that its player plays; for the demonstration set only."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.augment import augment
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import Loader, to_batch
from cmcgan_core.data.synthetic.heights import note_heights
from cmcgan_core.features.scaling import resize
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.training.loop import cosine
from cmcgan_core.utils.files import atomic_write

#: Passes over the training pairs, pairs a step, Adam's first learning rate (a cosine takes it down to 2 %).
EPOCHS, BATCH, RATE = 8, 32, 2e-3


class PoseJudge(nn.Module):
    """Four convolutions that halve the picture and a linear layer that still knows where what was.

    Args:
        size: side of the pictures.
        classes: number of classes; each has its own way to show a height.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, classes))
        self.size = size

    def forward(self, visual: Tensor) -> Tensor:
        """Pictures (B, 3, S', S') of any size to heights (B, classes), from the mean of each class they may be of."""
        height: Tensor = self.layers(resize(visual, (self.size, self.size)))
        return height


def train_pose_judge(
    data: Path, network: NetworkConfig, *, seed: int = 0, device: torch.device, on_progress: OnProgress = silent
) -> PoseJudge | None:
    """The pose judge of a demonstration set; trained on its training split once, then kept beside it.

    Its targets are the heights less the mean of their class, so that to know the class is of no use to it.

    Args:
        data: prepared dataset.
        network: the size of pictures that it is given.
        seed: of the initial weights and the order of pairs.
        device: to train and use it on.
        on_progress: told after every step.

    Returns:
        It, in evaluation mode; None where the dataset is no demonstration set.
    """
    dataset = PairDataset(data, "train")
    height = note_heights(dataset)
    if height is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = PoseJudge(network.picture_size, len(dataset.classes)).to(device)
    file = data / "judges" / f"pose-{network.picture_size}-{seed}.safetensors"
    content = json.dumps(dataset.about.get("content", ""))
    if not _load(judge, file, content):
        _train(judge, dataset, height, network, seed, on_progress)
        with atomic_write(file) as temporary:
            save_file({k: v.cpu() for k, v in judge.state_dict().items()}, temporary, metadata={"content": content})
    return judge.eval()


def _load(judge: PoseJudge, file: Path, content: str) -> bool:
    """Fill it with the weights of a file, if there is one that was trained on this content."""
    if not file.is_file():
        return False
    with safe_open(file, framework="pt") as kept:
        if (kept.metadata() or {}).get("content") != content:
            return False
        judge.load_state_dict({name: kept.get_tensor(name) for name in kept.keys()})  # noqa: SIM118
    return True


def _train(
    judge: PoseJudge, dataset: PairDataset, height: Tensor, network: NetworkConfig, seed: int, on_progress: OnProgress
) -> None:
    """Regression on class-centred heights, scaled to unit variance within the classes."""
    means = torch.zeros(len(dataset.classes)).index_add_(0, dataset.labels, height)
    target = height - (means / torch.bincount(dataset.labels, minlength=len(means)).clamp_min(1))[dataset.labels]
    target = target / target.std().clamp_min(1e-6)
    device = next(judge.parameters()).device
    loader = Loader(dataset, network, BATCH, seed, device)
    optimizer = Adam(judge.parameters(), RATE)
    steps, step = EPOCHS * len(loader), 0
    for epoch in range(EPOCHS):
        for items in loader.order(epoch):
            for group in optimizer.param_groups:
                group["lr"] = RATE * cosine(step / steps, 0.02)
            step += 1
            rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
            batch = augment(to_batch(dataset.read(items), network, dataset.settings, device), rng)
            seen = judge(batch.visual).gather(1, batch.label[:, None])[:, 0]
            loss = F.mse_loss(seen, target[items].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            on_progress(Progress("training the pose judge", step, steps, "steps", {"error": float(loss.detach())}))
