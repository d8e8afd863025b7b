"""The networks of CM-GANs: encoders to a common representation, decoders, and discriminators of features.

Source: Peng, Qi and Yuan, "CM-GANs: Cross-modal Generative Adversarial Networks for Common Representation Learning"
(2017); the sizes of layers are those of the authors' published code.

Shapes: B items; D values of the features of one modality; R values of the common representation.
"""

import torch
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.nn.encoders import ENCODERS, read_features
from cmcgan_core.nn.layers import CODE, SLOPE, full_precision


class CommonNetwork(Embedder):
    """Front ends that read the features of each modality, and layers that map these to a common representation.

    The last layer is the same for both modalities (the paper's weight sharing); its normalisation is not. The paper's
    front ends are VGG-19 for pictures and a convolutional network for words.

    Args:
        network: the front ends' encoder and sizes.
        hidden: values of the layer between features and representation.
        common: R.
        classes: number of classes that the head tells apart.
        shared: whether the modalities share the last layer.

    Attributes:
        sizes: D of each modality.
    """

    embeds = tuple(Modality)

    def __init__(self, network: NetworkConfig, hidden: int, common: int, classes: int, *, shared: bool) -> None:
        super().__init__()
        encoder = ENCODERS.get(network.encoder)
        self.front_ends = nn.ModuleDict({m: encoder(m.channels, network.size(m), network, ["real"]) for m in Modality})
        self.sizes = {m: _count_features(self.front_ends[m], m, network) for m in Modality}
        self.standardise = nn.ModuleDict({m: nn.BatchNorm1d(self.sizes[m], affine=False) for m in Modality})
        self.first = nn.ModuleDict({m: _hidden_layer(self.sizes[m], hidden) for m in Modality})
        self.shared = shared
        self.last = nn.ModuleDict({name: nn.Linear(hidden, common) for name in (["shared"] if shared else Modality)})
        self.norms = nn.ModuleDict({m: nn.BatchNorm1d(common) for m in Modality})
        self.activation = nn.LeakyReLU(SLOPE)
        self.head = nn.Linear(common, classes)

    def read(self, modality: Modality, maps: Tensor) -> Tensor:
        """Return the standardised features (B, D) of maps (B, C, H, W) in [-1, 1]."""
        features = full_precision(read_features(self.front_ends[modality], maps, "real"))
        standardised: Tensor = self.standardise[modality](features)
        return standardised

    def represent(self, modality: Modality, features: Tensor) -> Tensor:
        """Return the common representations (B, R) of standardised features (B, D)."""
        last = self.last["shared" if self.shared else modality]
        common: Tensor = self.activation(self.norms[modality](last(self.first[modality](features))))
        return common

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """See `Embedder`: the common representations (B, R)."""
        return self.represent(modality, self.read(modality, maps))


class FeatureDecoder(nn.Sequential):
    """Decodes common representations (B, R) to features (B, D)."""

    def __init__(self, common: int, hidden: int, size: int) -> None:
        super().__init__(_hidden_layer(common, hidden), nn.Linear(hidden, size))


class IntraDiscriminator(nn.Linear):
    """The intra-modality discriminator: scores whether features (B, D) are original or decoded; logits (B, 1)."""

    def __init__(self, size: int) -> None:
        super().__init__(size, 1)


class InterDiscriminator(nn.Module):
    """The inter-modality discriminator: scores which item and which modality a representation is from.

    A score is high for the representation of the same item, made from the same modality as the features.

    Args:
        common: R.
        size: D of the features.
        hidden: values of the layer before the score.
    """

    def __init__(self, common: int, size: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_hidden_layer(common + size, hidden), nn.Linear(hidden, 1))

    def forward(self, representations: Tensor, features: Tensor) -> Tensor:
        """Return logits (B, 1) for representations (B, R) and features (B, D)."""
        logits: Tensor = self.layers(torch.cat([representations, features], dim=1))
        return logits


def _hidden_layer(before: int, after: int) -> nn.Sequential:
    """Make a fully connected layer with batch normalisation and leaky ReLU."""
    return nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(SLOPE))


def _count_features(encoder: nn.Module, modality: Modality, network: NetworkConfig) -> int:
    """Return D of an encoder: the number that it states, or that it gives when it reads one black map."""
    if not hasattr(encoder, "features"):
        return CODE
    if isinstance(count := getattr(encoder, "feature_count", None), int):
        return count
    encoder.eval()
    with torch.no_grad():
        features = read_features(encoder, torch.zeros(1, modality.channels, *network.size(modality)), "real")
    encoder.train()
    return features.shape[1]
