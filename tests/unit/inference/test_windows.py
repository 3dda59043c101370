"""Stitched windows equal the network on the whole image, at any size and stride."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from medimg.inference.device import Device
from medimg.inference.windows import fitted_window, stitched_output

FP32 = Device(torch.device("cpu"), "fp32", "test")


def bundle(roi=(32, 32, 32), cval=0.0):
    return SimpleNamespace(inferer=SlidingWindowInferer(roi_size=roi, overlap=0.25, mode="gaussian", cval=cval))


def pointwise(stride=1):
    """A network without context: stitching must not change it."""
    torch.manual_seed(0)
    return nn.Conv3d(1, 2, stride, stride=stride).eval()


@pytest.mark.parametrize("shape", [(40, 50, 37), (16, 16, 16), (64, 32, 20)])
def test_windows_stitch_to_the_whole(shape):
    image, network = torch.randn(1, *shape), pointwise()
    with torch.inference_mode():
        expected = network(image[None])[0]
    assert torch.allclose(stitched_output(bundle(), network, image, FP32), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 50, 36), (33, 48, 17)])
def test_a_network_with_a_stride_answers_at_its_stride(shape):
    output = stitched_output(bundle(), pointwise(2), torch.randn(1, *shape), FP32)
    assert tuple(output.shape) == (2, *(-(-length // 2) for length in shape))


def test_mirrors_leave_a_network_without_context_alone():
    image, network = torch.randn(1, 40, 50, 36), pointwise()
    once, mean = (stitched_output(bundle(), network, image, FP32, flips=flips) for flips in (False, True))
    assert torch.allclose(once, mean, atol=1e-5)


def test_progress_ends_at_the_number_of_windows_announced():
    heard = []
    image = torch.randn(1, 64, 50, 36)
    stitched_output(bundle(), pointwise(), image, FP32, lambda *what: heard.append(what), flips=True)
    assert heard[-1][0] == "network"
    assert heard[-1][1] == heard[-1][2]
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_a_window_is_never_larger_than_the_padded_image():
    assert fitted_window((51, 51, 51), (128, 128, 64)) == (64, 64, 64)
