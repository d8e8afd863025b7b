"""Methods: ways to train a network, by name.

The paper's words, as used in configurations, modules, checkpoints, logs and tables, are in `docs/architecture.md`,
"Glossary".
"""

from typing import Any

from cmcgan_core.config import Config
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method
from cmcgan_core.methods.classifier import MultimodalClassifier
from cmcgan_core.methods.cm_gans import CMGANs
from cmcgan_core.methods.cmav import CMAV
from cmcgan_core.methods.cmcgan import CMCGAN
from cmcgan_core.registry import Registry

__all__ = ["METHODS", "Method", "make_method"]

#: Methods by name; plugins add to them.
METHODS: Registry[type[Method[Any]]] = Registry(
    "cmcgan.methods", {"cmcgan": CMCGAN, "cmav": CMAV, "cm-gans": CMGANs, "classifier": MultimodalClassifier}
)


def make_method(config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> Method[Any]:
    """Make the method that a configuration names, with fresh weights drawn from torch's global rng."""
    return METHODS.get(config.method)(config, classes, settings)
