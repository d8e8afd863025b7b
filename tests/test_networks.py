from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from conftest import shapes_of
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.modality import Modality
from cmcgan_core.nn.decoders import Decoder
from cmcgan_core.nn.discriminators import Discriminator
from cmcgan_core.nn.encoders import Encoder
from cmcgan_core.nn.layers import (
    Convolution,
    Deconvolution,
    ResizedConvolution,
    RouteNorm,
    TimeLinearConvolution,
    count_parameters,
)

#: The paper's sizes.
PAPER = NetworkConfig()


@pytest.mark.parametrize(
    ("channels", "size", "expected"),
    [
        (
            3,
            (128, 128),
            [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4), (256, 2, 2), (64, 1, 1)],
        ),
        (1, (128, 32), [(64, 64, 16), (128, 32, 8), (256, 16, 4), (512, 8, 2), (512, 4, 1), (256, 2, 1), (64, 1, 1)]),
    ],
)
def test_encoder_has_the_papers_layers(channels: int, size: tuple[int, int], expected: list[tuple[int, ...]]) -> None:
    encoder = Encoder(channels, size, PAPER, ["real"])
    assert shapes_of(encoder, Convolution, torch.rand(2, channels, *size), "real") == expected


@pytest.mark.parametrize(
    ("channels", "size", "expected"),
    [
        (
            3,
            (128, 128),
            [(256, 2, 2), (512, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 128, 128)],
        ),
        (1, (128, 32), [(256, 2, 1), (512, 4, 1), (512, 8, 2), (256, 16, 4), (128, 32, 8), (64, 64, 16), (1, 128, 32)]),
    ],
)
def test_decoder_has_the_papers_layers(channels: int, size: tuple[int, int], expected: list[tuple[int, ...]]) -> None:
    decoder = Decoder(channels, size, PAPER, ["a2v"])
    shapes = shapes_of(decoder, Deconvolution, torch.rand(2, 64, 1, 1), torch.rand(2, 100), "a2v")
    assert shapes == expected


@pytest.mark.parametrize("upsampling", ["deconvolution", "resize", "linear"])
@pytest.mark.parametrize("layers", [5, 7])
@pytest.mark.parametrize("size", [(64, 64), (128, 32), (96, 40), (33, 70)])
def test_any_size_is_encoded_as_one_code_and_decoded_to_the_same_size(
    size: tuple[int, int], layers: int, upsampling: Literal["deconvolution", "resize", "linear"]
) -> None:
    network = NetworkConfig(width=0.125, latent=10, layers=layers, upsampling=upsampling)
    code = Encoder(1, size, network, ["real"])(torch.rand(2, 1, *size), "real")
    assert code.shape == (2, 64, 1, 1)
    assert Decoder(1, size, network, ["r"])(code, torch.rand(2, 10), "r").shape == (2, 1, *size)


def test_with_fewer_layers_the_layers_at_the_smallest_maps_are_left_out() -> None:
    network = NetworkConfig(layers=5)
    encoder, decoder = Encoder(3, (128, 128), network, ["r"]), Decoder(3, (128, 128), network, ["r"])
    shapes = shapes_of(encoder, Convolution, torch.rand(2, 3, 128, 128), "r")
    assert shapes == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (64, 4, 4)]
    shapes = shapes_of(decoder, Deconvolution, torch.rand(2, 64, 1, 1), torch.rand(2, 100), "r")
    assert shapes == [(512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 128, 128)]


@pytest.mark.parametrize(("channels", "size", "resized"), [(3, (64, 64), 3), (1, (128, 32), 7)])
def test_pictures_are_resized_from_8_x_8_on_and_spectrograms_throughout(
    channels: int, size: tuple[int, int], resized: int
) -> None:
    decoder = Decoder(channels, size, NetworkConfig(width=0.125, upsampling="resize"), ["r"])
    kinds = [type(layer) for layer in decoder.deconvolutions]
    assert kinds == [Deconvolution] * (7 - resized) + [ResizedConvolution] * resized


def test_generators_have_the_papers_number_of_parameters() -> None:
    parts = [Encoder(3, (128, 128), PAPER, ["r"]), Encoder(1, (128, 32), PAPER, ["r"])]
    decoders = [Decoder(3, (128, 128), PAPER, ["r"]), Decoder(1, (128, 32), PAPER, ["r"])]
    assert round(sum(map(count_parameters, [*parts, *decoders])) / 1e6, 2) == 59.47


def test_centre_tap_equals_the_whole_convolution() -> None:
    layer = Convolution(6, 4).double()
    maps = torch.rand(3, 6, 1, 1, dtype=torch.float64)
    whole = F.conv2d(maps, layer.weight, stride=2, padding=2)
    torch.testing.assert_close(layer(maps), whole)


@pytest.mark.parametrize("after", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_taps_of_one_position_equal_the_whole_deconvolution(after: tuple[int, int]) -> None:
    layer = Deconvolution(6, 4, (1, 1), after)
    maps = torch.rand(3, 6, 1, 1)
    whole = F.conv_transpose2d(maps, layer.weight, layer.bias, stride=2, padding=2, output_padding=layer.output_padding)
    torch.testing.assert_close(layer(maps), whole)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (8, 2), (4, 4), (16, 4)])
def test_mixed_precision_gives_the_results_of_full_precision_on_narrow_maps(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    after = (2 * size[0], 2 * size[1])
    for layer in (Convolution(128, 64), Deconvolution(128, 64, size, after)):
        maps = torch.randn(32, 128, *size).contiguous(memory_format=torch.channels_last).requires_grad_()
        results: list[tuple[Tensor, ...]] = []
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                output = layer(maps).float()
            results.append((output.detach(), *torch.autograd.grad(output.square().mean(), [maps, layer.weight])))
        for full, mixed in zip(*results, strict=True):
            assert F.cosine_similarity(full.flatten(), mixed.flatten(), dim=0) > 0.99


def test_spectrograms_are_resized_linearly_in_time_only() -> None:
    layer = TimeLinearConvolution(1, 1, (2, 2), (4, 4))
    step = torch.tensor([[[[0.0, 4.0], [0.0, 4.0]]]])
    torch.testing.assert_close(layer.resize(step), torch.tensor([0.0, 1.0, 3.0, 4.0]).expand(1, 1, 4, 4))
    lines = torch.tensor([[0.0], [0.0], [4.0], [4.0]]).expand(1, 1, 4, 4)
    torch.testing.assert_close(layer.resize(step.transpose(-1, -2)), lines)


def test_route_norm_trains_like_batch_norm_and_separates_routes() -> None:
    ours, plain = RouteNorm(3, ["real", "fake"]), nn.BatchNorm2d(3)
    real, fake = torch.randn(8, 3, 4, 4), torch.randn(8, 3, 4, 4) * 5 + 2
    torch.testing.assert_close(ours(real, "real"), plain(real))
    ours(fake, "fake")
    torch.testing.assert_close(ours.running_mean[0], plain.running_mean)
    torch.testing.assert_close(ours.eval()(real, "real"), plain.eval()(real))
    assert not torch.allclose(ours(real, "real"), ours(real, "fake"))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_discriminator_scores_pairs(size: int) -> None:
    discriminator = Discriminator(NetworkConfig(picture_size=size, width=0.125))
    visual = discriminator.features(Modality.VISUAL, torch.rand(5, 3, size, size))
    audio = discriminator.features(Modality.AUDIO, torch.rand(5, 1, 128, 32))
    assert visual.shape[2:] == audio.shape[2:] == (4, 4)
    assert discriminator(visual, audio).shape == (5,)
