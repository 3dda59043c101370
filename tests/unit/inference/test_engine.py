"""What is stitched and decided piece by piece is what MONAI decides from whole maps, at any size and overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import AsDiscrete
from torch import nn

from medimg.errors import PipelineError, UsageError
from medimg.inference.boxes import DecodeBoxes
from medimg.inference.decide import NEVER_SEEN, Argmax, Keep, Paint
from medimg.inference.device import Device
from medimg.inference.engine import predict
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows

FP32 = Device("cpu", "fp32", "test")
BF16 = Device("cpu", "bf16", "test")

PAINT = ((1, 2, 0.5), (0, 1, 0.4), (2, 4, 0.6))


def network(outputs=4, stride=1, seed=0):
    """A network whose answer depends on where a window lies: its statistics are the window's (GroupNorm)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv3d(8, outputs, stride, stride=stride)
    ).eval()


def scan(shape, seed=1):
    """Smooth blobs: (1, I, J, K)."""
    coarse = np.random.default_rng(seed).normal(size=[-(-n // 4) for n in shape])
    fine = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    return fine[tuple(slice(n) for n in shape)][None].astype(np.float32)


def by_monai(net, image, windows):
    """Whole float maps, as SlidingWindowInferer stitches them: (C, I, J, K)."""
    inferer = SlidingWindowInferer(
        windows.size,
        windows.batch,
        windows.overlap,
        windows.mode,
        padding_mode=windows.padding_mode,
        cval=windows.cval,
    )
    with torch.no_grad():
        return inferer(torch.from_numpy(image)[None], net)[0]


def ours(net, image, windows, decision, device=FP32, **more):
    return predict([Network(lambda: net)], image, windows, decision, device, **more)


CASES = [
    ((40, 50, 37), Windows((24, 24, 16), (0.25,) * 3)),
    ((40, 50, 37), Windows((24, 24, 16), (0.5,) * 3, "gaussian", batch=3)),
    ((40, 50, 37), Windows((24, 16, 40), (0.7, 0.0, 0.25), "gaussian")),
    ((20, 50, 9), Windows((24, 24, 16), (0.25,) * 3, "gaussian", padding_mode="replicate")),
    ((20, 21, 9), Windows((24, 24, 16), (0.5,) * 3, cval=-1.0)),
    ((20, 21, 19), Windows((24, 24, 24), (0.5,) * 3, padding_mode="reflect")),
    ((24, 24, 16), Windows((24, 24, 16), (0.25,) * 3, "gaussian")),
]


@pytest.mark.parametrize(("shape", "windows"), CASES)
def test_labels_are_those_of_whole_maps(shape, windows):
    net, image = network(), scan(shape)
    expected = by_monai(net, image, windows)
    assert np.array_equal(ours(net, image, windows, Argmax()), expected.argmax(0).numpy())


@pytest.mark.parametrize(("shape", "windows"), CASES)
def test_painted_masks_are_those_of_whole_maps(shape, windows):
    net, image = network(), scan(shape)
    probability = by_monai(net, image, windows).sigmoid()
    expected = torch.zeros(shape, dtype=torch.uint8)
    for channel, value, threshold in PAINT:
        expected[AsDiscrete(threshold=threshold)(probability[channel]) > 0] = value
    assert np.array_equal(ours(net, image, windows, Paint(PAINT, inclusive=True)), expected.numpy())


@pytest.mark.parametrize(("shape", "windows"), CASES)
def test_logits_are_those_of_whole_maps(shape, windows):
    net, image = network(), scan(shape)
    expected = by_monai(net, image, windows)
    assert np.allclose(ours(net, image, windows, Keep()), expected, atol=1e-6)


def test_labels_in_half_precision_are_nearly_those_in_single_precision():
    net, image, windows = network(), scan((64, 50, 37)), Windows((32, 32, 32), (0.5,) * 3, "gaussian")
    single, half = (ours(net, image, windows, Argmax(), device) for device in (FP32, BF16))
    dice = [2 * np.sum((single == v) & (half == v)) / (np.sum(single == v) + np.sum(half == v)) for v in range(4)]
    assert min(dice) > 0.99


@pytest.mark.parametrize("shape", [(40, 50, 36), (33, 48, 17)])
def test_a_network_with_a_stride_answers_at_its_stride(shape):
    windows = Windows((32, 32, 32), (0.25,) * 3, "gaussian", fitted=True)
    output = ours(network(2, stride=2), scan(shape), windows, Keep())
    assert output.shape == (2, *(-(-length // 2) for length in shape))


def test_a_window_that_does_not_begin_at_a_cell_is_refused_with_what_to_do():
    with pytest.raises(PipelineError, match="multiples of the network's stride"):
        ours(network(2, stride=2), scan((41, 40, 40)), Windows((32, 32, 32)), Keep())


def test_windows_outside_the_region_are_not_run_and_inside_it_the_answer_is_the_same():
    net, image, windows = network(), scan((64, 64, 64)), Windows((24, 24, 24), (0.25,) * 3, "gaussian")
    region = np.zeros((64, 64, 64), bool)
    region[30:40, 4:20, 50:] = True
    heard: list[tuple[int, int]] = []
    part = ours(net, image, windows, Keep(), region=region, progress=lambda _, *done: heard.append(done))
    everything = ours(net, image, windows, Keep())
    assert np.array_equal(part[:, region], everything[:, region])
    assert heard[-1][0] == heard[-1][1] < 4 * 4 * 4
    assert (part == NEVER_SEEN).all(axis=0).any()
    assert ours(net, image, windows, Argmax(), region=region)[0, 63, 0] == 0


def test_an_empty_region_means_that_everything_is_searched():
    net, image, windows = network(), scan((30, 30, 30)), Windows((24, 24, 24))
    nowhere = np.zeros((30, 30, 30), bool)
    assert np.array_equal(ours(net, image, windows, Argmax(), region=nowhere), ours(net, image, windows, Argmax()))


def test_mirrors_leave_a_network_without_context_alone_and_symmetrise_one_with():
    torch.manual_seed(0)
    pointwise, windows = nn.Conv3d(1, 2, 1).eval(), Windows((32, 32, 32), (0.25,) * 3, "gaussian")
    image, mirrored = scan((40, 50, 36)), Engine(tta=True)
    once = ours(pointwise, image, windows, Keep())
    assert np.allclose(ours(pointwise, image, windows, Keep(), engine=mirrored), once, atol=1e-5)
    net, small = network(), scan((32, 32, 32))
    with torch.no_grad():
        passes = [net(torch.from_numpy(small)[None].flip(axes)).flip(axes)[0] for axes in ((), (2,), (3,), (4,))]
    mean = ours(net, small, windows, Keep(), engine=mirrored)
    assert np.allclose(mean, torch.stack(passes).mean(0), atol=1e-5)


def test_boxes_cannot_be_averaged_over_mirror_images():
    boxes = DecodeBoxes((np.zeros((1, 6), np.float32),), 0.1, 10, 0.2, 10)
    with pytest.raises(UsageError, match="boxes cannot be averaged"):
        ours(network(), scan((16, 16, 16)), Windows((16, 16, 16)), boxes, engine=Engine(tta=True))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_several_networks_answer_with_the_mean_of_their_probabilities(activation):
    nets = [network(seed=seed) for seed in range(3)]
    image, windows = scan((24, 24, 24)), Windows((24, 24, 24))
    members = [Network(lambda net=net: net) for net in nets]
    logits = torch.from_numpy(predict(members, image, windows, Keep(), FP32, activation=activation))
    with torch.no_grad():
        outputs = [net(torch.from_numpy(image)[None])[0] for net in nets]
    if activation == "sigmoid":
        assert torch.allclose(logits.sigmoid(), sum(output.sigmoid() for output in outputs) / 3, atol=1e-5)
    else:
        mean = sum(output.softmax(0) for output in outputs) / 3
        assert torch.allclose(logits.softmax(0), mean, atol=1e-5)
        labels = predict(members, image, windows, Argmax(), FP32, activation=activation)
        assert np.array_equal(labels, mean.argmax(0).numpy())


def test_an_overlap_asked_for_takes_the_place_of_the_authors():
    heard: list[int] = []
    net, image, windows = network(), scan((64, 24, 24)), Windows((24, 24, 24), (0.5,) * 3)
    for overlap in (None, 0.0):
        ours(
            net, image, windows, Argmax(), engine=Engine(overlap=overlap), progress=lambda *what: heard.append(what[2])
        )
    assert (max(heard), min(heard)) == (5, 3)


def test_an_output_that_no_decision_takes_is_refused():
    with pytest.raises(PipelineError, match="one of at least 2 is needed"):
        ours(network(1), scan((24, 24, 24)), Windows((24, 24, 24)), Argmax())
    with pytest.raises(PipelineError, match="one of at least 5 is needed"):
        ours(network(4), scan((24, 24, 24)), Windows((24, 24, 24)), Paint(((4, 1, 0.5),)))
