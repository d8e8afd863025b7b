"""Classical methods that align two sets of codes: CCA, its kernel form, and cross-modal factor analysis.

Each is fitted to the codes of training pairs, and maps sounds and pictures to one space, where they can be compared.

Shapes: N pairs; D values of a code, which may differ between the modalities; K values of an aligned code.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from cmcgan_core.modality import Modality

#: Codes (N, D) of the same N pairs, by modality.
Codes = Mapping[Modality, Tensor]
#: What a fitted method is: it maps codes (N, D) to aligned codes (N, K).
Alignment = Callable[[Codes], dict[Modality, Tensor]]

#: Largest number of pairs that the kernel method is fitted to, because its cost grows with their cube.
KERNEL_PAIRS = 1000
#: Number of kernel components of each modality.
KERNEL_COMPONENTS = 64


def standardise(train: Codes) -> Alignment:
    """Give every value of a code the mean 0 and the deviation 1 that it has over the training pairs; K = D."""
    mean = {m: codes.mean(dim=0) for m, codes in train.items()}
    deviation = {m: codes.std(dim=0).clamp_min(1e-6) for m, codes in train.items()}
    return lambda codes: {m: (part - mean[m]) / deviation[m] for m, part in codes.items()}


def canonical_correlation(train: Codes, components: int) -> Alignment:
    """Fit canonical correlation analysis (Hotelling 1936): directions whose values correlate most between the pairs."""
    from sklearn.cross_decomposition import CCA

    sound, picture = Modality.AUDIO, Modality.VISUAL
    fitted = CCA(_limit(train, components), max_iter=2000).fit(train[sound].numpy(), train[picture].numpy())

    def align(codes: Codes) -> dict[Modality, Tensor]:
        aligned = fitted.transform(codes[sound].numpy(), codes[picture].numpy())
        return {m: torch.from_numpy(part).float() for m, part in zip((sound, picture), aligned, strict=True)}

    return align


def kernel_canonical_correlation(train: Codes, components: int) -> Alignment:
    """Fit canonical correlation analysis to kernel components with a Gaussian kernel (Hardoon et al. 2004).

    It is fitted to `KERNEL_PAIRS` pairs, spread evenly.
    """
    from sklearn.decomposition import KernelPCA

    rows = np.linspace(0, len(train[Modality.AUDIO]) - 1, KERNEL_PAIRS).round().astype(int)
    chosen = {m: codes[np.unique(rows)] for m, codes in train.items()}
    kernels = {
        m: KernelPCA(min(KERNEL_COMPONENTS, len(codes) - 1), kernel="rbf").fit(codes.numpy())
        for m, codes in chosen.items()
    }

    def expand(codes: Codes) -> dict[Modality, Tensor]:
        return {m: torch.from_numpy(kernels[m].transform(part.numpy())).float() for m, part in codes.items()}

    align = canonical_correlation(expand(chosen), components)
    return lambda codes: align(expand(codes))


def factor_analysis(train: Codes, components: int) -> Alignment:
    """Fit cross-modal factor analysis (Li et al. 2003): rotations that bring the codes of pairs nearest together.

    They are the singular vectors of the products of the codes.
    """
    sound, picture = Modality.AUDIO, Modality.VISUAL
    u, _, v = torch.linalg.svd(train[sound].double().T @ train[picture].double(), full_matrices=False)
    kept = _limit(train, components)
    rotations = {sound: u[:, :kept].float(), picture: v[:kept].T.float()}
    return lambda codes: {m: part @ rotations[m] for m, part in codes.items()}


def _limit(train: Codes, components: int) -> int:
    """Return the number of components that codes of these sizes have, at most `components`."""
    return min(components, *(codes.shape[1] for codes in train.values()), len(train[Modality.AUDIO]) - 1)
