"""Bundles with the exact configurations of the MONAI model zoo and random weights, and peers that are MONAI's own.

Values are those of shared/reference/monai.md. Windows can be made smaller: that changes how long a test takes, nothing
that it tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

BRATS, LUNG, ORGANS = "brats_mri_segmentation", "lung_nodule_ct_detection", "wholeBody_ct_segmentation"

BRATS_CHANNELS = ["T1c", "T1", "T2", "FLAIR"]

PAINTED = "torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"


def component(target, **options):
    return {"_target_": target, **options}


def compose(*transforms):
    return component("Compose", transforms=list(transforms))


def runs_on(network="@network"):
    """What the zoo's configurations hold beside what medimg needs: reading, ignite, saving."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "/workspace/data",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network": "$@network_def.to(@device)",
        "dataset": component("Dataset", data="$glob.glob(@dataset_dir)", transform="@preprocessing"),
        "dataloader": component("DataLoader", dataset="@dataset", batch_size=1),
        "handlers": [
            component("CheckpointLoader", load_path="$@bundle_root + '/models/model.pt'", load_dict={"model": network})
        ],
        "evaluator": component("SupervisedEvaluator", device="@device", network=network, inferer="@inferer"),
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
        "run": ["$@evaluator.run()"],
    }


def brats_config(window=(240, 240, 160)):
    return {
        **runs_on(),
        "network_def": component(
            "SegResNet",
            blocks_down=[1, 2, 2, 4],
            blocks_up=[1, 1, 1],
            init_filters=16,
            in_channels=4,
            out_channels=3,
            dropout_prob=0.2,
        ),
        "preprocessing": compose(
            component("LoadImaged", keys="image", image_only=False),
            component("NormalizeIntensityd", keys="image", nonzero=True, channel_wise=True),
        ),
        "inferer": component("SlidingWindowInferer", roi_size=list(window), sw_batch_size=1, overlap=0.5),
        "postprocessing": compose(
            component("Activationsd", keys="pred", sigmoid=True),
            component(
                "Invertd",
                keys="pred",
                transform="@preprocessing",
                orig_keys="image",
                meta_keys="pred_meta_dict",
                nearest_interp=False,
                to_tensor=True,
            ),
            component("AsDiscreted", keys="pred", threshold=0.5),
            component("Lambdad", keys="pred", func=f"$lambda x: {PAINTED}"),
            component("SaveImaged", keys="pred", output_dir="@output_dir", output_postfix="seg"),
        ),
    }


def lung_config(window=(512, 512, 192)):
    network = (
        "monai.apps.detection.networks.retinanet_network.resnet_fpn_feature_extractor(@backbone,3,False,[1,2],None)"
    )
    backbone = "resnet50(spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1],conv1_t_size=[7,7,7])"
    selector = "score_thresh=0.02,topk_candidates_per_level=1000,nms_thresh=0.22,detections_per_img=300"
    windows = "roi_size=@infer_patch_size,overlap=0.25,sw_batch_size=1,mode='constant',device='cpu'"
    return {
        **runs_on(),
        "whether_raw_luna16": False,
        "whether_resampled_luna16": "$(not @whether_raw_luna16)",
        "spatial_dims": 3,
        "num_classes": 1,
        "force_sliding_window": False,
        "size_divisible": [16, 16, 8],
        "infer_patch_size": list(window),
        "anchor_generator": component(
            "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
            feature_map_scales=[1, 2, 4],
            base_anchor_shapes=[[6, 8, 4], [8, 6, 5], [10, 10, 6]],
        ),
        "backbone": f"$monai.networks.nets.resnet.{backbone}",
        "feature_extractor": f"${network}",
        "network_def": component(
            "RetinaNet",
            spatial_dims="@spatial_dims",
            num_classes="@num_classes",
            num_anchors=3,
            feature_extractor="@feature_extractor",
            size_divisible="@size_divisible",
            use_list_output=False,
        ),
        "detector": component(
            "RetinaNetDetector",
            network="@network",
            anchor_generator="@anchor_generator",
            debug=False,
            spatial_dims="@spatial_dims",
            num_classes="@num_classes",
            size_divisible="@size_divisible",
        ),
        "detector_ops": [
            "$@detector.set_target_keys(box_key='box', label_key='label')",
            f"$@detector.set_box_selector_parameters({selector})",
            f"$@detector.set_sliding_window_inferer({windows})",
        ],
        "preprocessing": compose(
            component("LoadImaged", keys="image", _disabled_="@whether_raw_luna16"),
            component(
                "LoadImaged",
                keys="image",
                reader="itkreader",
                affine_lps_to_ras=True,
                _disabled_="@whether_resampled_luna16",
            ),
            component("EnsureChannelFirstd", keys="image"),
            component("Orientationd", keys="image", axcodes="RAS"),
            component(
                "Spacingd", keys="image", pixdim=[0.703125, 0.703125, 1.25], _disabled_="@whether_resampled_luna16"
            ),
            component(
                "ScaleIntensityRanged", keys="image", a_min=-1024.0, a_max=300.0, b_min=0.0, b_max=1.0, clip=True
            ),
            component("EnsureTyped", keys="image"),
        ),
        "inferer": component(
            "scripts.detection_inferer.RetinaNetInferer",
            detector="@detector",
            force_sliding_window="@force_sliding_window",
        ),
        "postprocessing": compose(
            component(
                "ClipBoxToImaged", box_keys="box", label_keys="label", box_ref_image_keys="image", remove_empty=True
            ),
            component(
                "AffineBoxToWorldCoordinated", box_keys="box", box_ref_image_keys="image", affine_lps_to_ras=True
            ),
            component("ConvertBoxModed", box_keys="box", src_mode="xyzxyz", dst_mode="cccwhd"),
        ),
    }


def organs_config(window=(96, 96, 96), classes=105, filters=32):
    return {
        **runs_on(),
        "displayable_configs": {"highres": True, "sw_overlap": 0.25, "sw_batch_size": 1},
        "image_key": "image",
        "pixdim": "$[1.5, 1.5, 1.5] if @displayable_configs#highres else [3.0, 3.0, 3.0]",
        "network_def": component(
            "SegResNet",
            spatial_dims=3,
            in_channels=1,
            out_channels=classes,
            init_filters=filters,
            blocks_down=[1, 2, 2, 4],
            blocks_up=[1, 1, 1],
            dropout_prob=0.2,
        ),
        "preprocessing": compose(
            component("LoadImaged", keys="@image_key"),
            component("EnsureTyped", keys="@image_key"),
            component("EnsureChannelFirstd", keys="@image_key"),
            component("Orientationd", keys="@image_key", axcodes="RAS"),
            component("Spacingd", keys="@image_key", pixdim="@pixdim", mode="bilinear"),
            component("NormalizeIntensityd", keys="@image_key", nonzero=True),
            component("ScaleIntensityd", keys="@image_key", minv=-1.0, maxv=1.0),
        ),
        "inferer": component(
            "SlidingWindowInferer",
            roi_size=list(window),
            sw_batch_size="@displayable_configs#sw_batch_size",
            overlap="@displayable_configs#sw_overlap",
            padding_mode="replicate",
            mode="gaussian",
            device="$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        ),
        "postprocessing": compose(
            component("Activationsd", keys="pred", softmax=True),
            component("AsDiscreted", keys="pred", argmax=True),
            component("Invertd", keys="pred", transform="@preprocessing", orig_keys="@image_key", nearest_interp=True),
            component("SaveImaged", keys="pred", output_dir="@output_dir"),
        ),
    }


def metadata(name, version, modality, inputs, outputs):
    numbered = [{str(number): label for number, label in enumerate(labels)} for labels in (inputs, outputs)]
    image = {"type": "image", "modality": modality, "num_channels": len(inputs), "channel_def": numbered[0]}
    pred = {"type": "image", "num_channels": len(outputs), "channel_def": numbered[1]}
    data_format = {"inputs": {"image": image}, "outputs": {"pred": pred}}
    return {"name": name, "version": version, "network_data_format": data_format}


BRATS_METADATA = metadata(
    "BraTS MRI segmentation", "0.5.2", "MR", BRATS_CHANNELS, ["Tumor core", "Whole tumor", "Enhancing tumor"]
)
LUNG_METADATA = metadata("Lung nodule CT detection", "0.6.8", "CT", ["image"], [])


def organs_metadata(classes=105):
    labels = ["background", *(f"organ {number}" for number in range(1, classes))]
    return metadata("Whole body CT segmentation", "0.2.6", "CT", ["image"], labels)


def write(folder: Path, config, about, network: torch.nn.Module | None) -> Path:
    """A bundle folder; `network` with the weights to store."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config, indent=2))
    (folder / "configs" / "metadata.json").write_text(json.dumps(about, indent=2))
    (folder / "models").mkdir()
    if network is not None:
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def seg_res_net(config, seed=0):
    """The network of a configuration, with weights of that seed whose outputs do not all say the same."""
    from monai.networks.nets import SegResNet

    options = {key: value for key, value in config["network_def"].items() if key != "_target_"}
    torch.manual_seed(seed)
    network = SegResNet(**options).eval()
    with torch.no_grad():
        for parameter in network.conv_final[2].parameters():
            parameter.mul_(4)
    return network


def retina_net(seed=0):
    """The lung bundle's network with heads that find something: fresh ones give every anchor a score of 0.01."""
    from monai.apps.detection.networks.retinanet_network import RetinaNet
    from monai.networks.nets.resnet import resnet50

    from medimg.inference.fpn import resnet_fpn

    torch.manual_seed(seed)
    backbone = resnet50(spatial_dims=3, n_input_channels=1, conv1_t_stride=[2, 2, 1], conv1_t_size=[7, 7, 7])
    network = RetinaNet(3, 1, 3, resnet_fpn(backbone, [1, 2]), [16, 16, 8])
    with torch.no_grad():
        for head in (network.classification_head.cls_logits, network.regression_head.bbox_reg):
            torch.nn.init.normal_(head.weight, std=0.05)
    return network.eval()


def brats_bundle(folder: Path, window=(240, 240, 160)) -> Path:
    config = brats_config(window)
    return write(folder / BRATS, config, BRATS_METADATA, seg_res_net(config))


def lung_bundle(folder: Path, window=(512, 512, 192)) -> Path:
    return write(folder / LUNG, lung_config(window), LUNG_METADATA, retina_net())


def organs_bundle(folder: Path, window=(96, 96, 96), classes=105, filters=32) -> Path:
    config = organs_config(window, classes, filters)
    return write(folder / ORGANS, config, organs_metadata(classes), seg_res_net(config))
