"""."""

#: Number of channels of each modality: a(udio) and v(isual).
CHANNELS = {"a": 1, "v": 3}
