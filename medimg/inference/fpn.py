"""The feature extractor of MONAI's RetinaNet without torchvision, which has no CPU build everywhere.

The parts are MONAI's: a ResNet up to the last level that is returned, and its feature pyramid (Lin et al., Feature
Pyramid Networks for Object Detection, CVPR 2017). Only `monai.apps.detection.networks.retinanet_network.
resnet_fpn_feature_extractor`, which joins them, needs private helpers of torchvision. The names in the state dict are
the same, so a checkpoint fits either.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from monai.networks.nets.resnet import ResNet
from torch import nn

OUT_CHANNELS = 256
"""Of every level of the pyramid, as MONAI and torchvision have it."""


class ResNetFPN(nn.Module):
    """Levels of a ResNet, all brought to OUT_CHANNELS, and one more by pooling the last.

    Input (B, C, I, J, K); output level name -> (B, OUT_CHANNELS, i, j, k), the finest first.
    """

    def __init__(self, backbone: ResNet, returned_layers: Sequence[int]) -> None:
        super().__init__()
        self.returned = {f"layer{layer}": str(number) for number, layer in enumerate(returned_layers)}
        names = [name for name, _ in backbone.named_children()]
        last = names.index(f"layer{max(returned_layers)}")
        self.body = nn.ModuleDict({name: getattr(backbone, name) for name in names[: last + 1]})
        first_channels = backbone.in_planes // 8
        channels = [first_channels * 2 ** (layer - 1) for layer in returned_layers]
        self.fpn = FeaturePyramidNetwork(3, channels, OUT_CHANNELS, extra_blocks=LastLevelMaxPool(3))
        self.out_channels = OUT_CHANNELS

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """The pyramid of the image."""
        levels = {}
        for name, module in self.body.items():
            image = module(image)
            if name in self.returned:
                levels[self.returned[name]] = image
        pyramid: dict[str, torch.Tensor] = self.fpn(levels)
        return pyramid


def resnet_fpn(backbone: ResNet, returned_layers: Sequence[int]) -> ResNetFPN:
    """The extractor of a 3-D `backbone`; `returned_layers` from 1 to 4, ascending."""
    return ResNetFPN(backbone, returned_layers)
