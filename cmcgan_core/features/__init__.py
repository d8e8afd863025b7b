"""Convert between waveforms, spectrograms and pictures, and the tensors in [-1, 1] that networks use."""
