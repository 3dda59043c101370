"""Folding BatchNorm changes rounding and nothing else; what a network does out of sight is left alone."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from torch import nn

from medimg.inference.device import Device
from medimg.inference.footprint import footprint
from medimg.inference.torch_runner import folded


def trained_norms(network):
    """Statistics as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return network.eval()


def test_a_folded_unet_gives_the_same_answer_and_the_original_is_untouched():
    torch.manual_seed(0)
    net = trained_norms(UNet(3, 1, 2, channels=(4, 8, 8), strides=(2, 2), num_res_units=2, norm="BATCH"))
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        before, after = net(image), folded(net)(image)
        assert torch.equal(net(image), before)
    assert torch.allclose(before, after, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded(net).modules())


def test_a_norm_whose_place_cannot_be_seen_is_not_folded():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv3d(1, 2, 1), nn.BatchNorm3d(1)

        def forward(self, x):
            return self.conv(self.norm(x))

    assert any(isinstance(module, nn.BatchNorm3d) for module in folded(Own()).modules())


def test_the_footprint_of_a_pass_is_the_most_that_is_held_at_once():
    net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 1)).eval()
    cost = footprint(net, (2, 1, 8, 8, 8), Device("cpu", "fp32", ""))
    voxels = 2 * 8**3
    assert cost.outputs == ((2, 8**3),)
    # the image and two feature maps of four channels
    assert cost.working == 4 * voxels * (1 + 4 + 4)
