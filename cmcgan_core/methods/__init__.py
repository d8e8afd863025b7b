"""Methods by name, and the papers' words.

Glossary, as used in configurations, modules, checkpoints, logs and tables:

- modalities: `a` audio (log-mel spectrogram, LMS), `v` visual (picture).
- subnetworks: `a2v`, `v2a`, `a2a`, `v2v`; their outputs are called direct, or one-hop. The paper's F_Image is the
  output of a2v, F_Sound of v2a, R_Sound of a2a, R_Image of v2v.
- paths: `v2a2v`, `a2v2a` (blue in Figure 1; RF_Image, RF_Sound), `v2v2a`, `a2a2v` (red; FR_Sound, FR_Image); two-hop.
- pairs: `rvra` real picture and real sound, `rvwa`/`wvra` with one of a wrong class, `rvfa`/`fvra` with a fake one.
- code: what an encoder makes, F_A and F_V in the paper, phi in CMAV; latent: the Gaussian vector z.
"""

from cmcgan_core.config import Config
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, Translator
from cmcgan_core.methods.classifier import Classifier
from cmcgan_core.methods.cmav import CMAV
from cmcgan_core.methods.cmcgan import CMCGAN
from cmcgan_core.registry import Registry

__all__ = ["METHODS", "Method", "Translator", "make_method"]

#: Methods by name; plugins add to them.
METHODS: Registry[type[Method]] = Registry(
    "cmcgan.methods",
    {
        "cmcgan": CMCGAN,
        "cmav": CMAV,
        "classifier": Classifier,
    },
)


def make_method(config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> Method:
    """The method that a configuration names, with fresh weights drawn from torch's global generator."""
    return METHODS.get(config.method)(config, classes, settings)
