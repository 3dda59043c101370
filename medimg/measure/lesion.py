"""Lesions of a label map: connected components of all labels together, each with its volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.measure import common
from medimg.measure.rano import ENHANCING, enhancing_axes
from medimg.results import Finding, Segmentation

CONNECTIVITY = 3
"""Voxels that share a face, an edge or a corner are one lesion (26 neighbours, as the BraTS lesion-wise score)."""

AXES = (
    *("long_axis_mm", "short_axis_mm", "product_mm2", "max_3d_diameter_mm"),
    *("long_axis_ends_lps_mm", "short_axis_ends_lps_mm"),
)
"""Measurements of a lesion's extent; the first is its diameter."""


def lesions(
    segmentation: Segmentation, groups: Mapping[str, tuple[int, ...]], min_volume_mm3: float, label: str = "lesion"
) -> list[Finding]:
    """One Finding for each connected component of the union of all labels, largest first.

    groups: region name -> the labels it is made of, e.g. {"et": (3,), "tc": (1, 3)}; each becomes a
    measurement `<name>_mm3`, None where its labels could not be told apart from others. Components smaller than
    `min_volume_mm3` are left out.
    diameter_mm is the longest diameter in an axial slice (RANO, RECIST 1.1; see `common.axial_axes`).
    A lesion on the border of the scan is cut: its sizes are None, and `touches_border` is true.
    """
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(3, CONNECTIVITY)
    components, _ = ndimage.label(segmentation.array > 0, structure=structure)
    voxel_mm3 = geometry.voxel_volume_mm3(segmentation.affine_ras)
    large = [
        (int(count), number)
        for number, count in enumerate(np.bincount(components.ravel()))
        if number > 0 and count * voxel_mm3 >= min_volume_mm3
    ]
    boxes = ndimage.find_objects(components)
    ordered = sorted(large, key=lambda item: (-item[0], item[1]))
    return [
        _finding(f"{label}-{rank}", label, segmentation, components, number, boxes[number - 1], groups)
        for rank, (_, number) in enumerate(ordered, start=1)
    ]


def lesion_mask(segmentation: Segmentation, finding: Finding) -> NDArray[np.bool_] | None:
    """The voxels (I, J, K) of a finding in the label map it was listed with; None where it has none.

    A detection has a label of its own. A lesion is the connected component whose box is the finding's.
    """
    from scipy import ndimage

    if finding.segment is not None and segmentation.labels.get(finding.segment) == finding.id:
        return np.asarray(segmentation.array == finding.segment)
    components, _ = ndimage.label(segmentation.array > 0, structure=ndimage.generate_binary_structure(3, CONNECTIVITY))
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        inside = components[box] == number
        voxels = np.argwhere(inside) + np.array([window.start for window in box])
        if np.allclose(common.box_lps_mm(voxels, segmentation.affine_ras), finding.box_lps_mm or np.nan, atol=0.01):
            return np.asarray(components == number)
    return None


def _finding(
    identity: str,
    label: str,
    segmentation: Segmentation,
    components: NDArray[np.integer],
    number: int,
    box: tuple[slice, slice, slice],
    groups: Mapping[str, tuple[int, ...]],
) -> Finding:
    inside = components[box] == number
    start = np.array([window.start for window in box])
    affine = segmentation.affine_ras
    outline = common.mask_line_ends(inside, 2) + start
    i, j, k = segmentation.array.shape
    cut = common.touches_border(outline, (i, j, k))
    values = segmentation.array[box][inside]
    counts = np.bincount(values, minlength=256)
    regions = volumes_of_groups(counts, groups, segmentation)
    # of a lesion that is cut no size is told: its voxels, maybe millions, are not even listed
    voxels = outline if cut else np.argwhere(inside) + start
    measured = dict.fromkeys((*regions, *AXES)) if cut else {**regions, **_axes(voxels, outline, affine)}
    if ENHANCING in groups:
        labels = groups[ENHANCING] if _told_apart(groups[ENHANCING], segmentation) else None
        measured.update(enhancing_axes(voxels, values, labels, affine, cut))
    return Finding(
        id=identity,
        label=label,
        center_lps_mm=common.centroid_lps_mm(common.mean_index(inside)[None] + start, affine),
        diameter_mm=measured["long_axis_mm"],
        volume_mm3=None if cut else common.volume_mm3(voxels, affine),
        box_lps_mm=common.box_lps_mm(outline, affine),
        segment=int(values[0]) if values.min() == values.max() else None,
        measurements={**measured, "touches_border": cut},
    )


def _axes(voxels: common.Voxels, outline: common.Voxels, affine: geometry.Affine) -> dict[str, Any]:
    """What AXES names, of a lesion's voxels; outline: those at the ends of its lines."""
    axes = common.axial_axes(voxels, affine)
    lengths = (axes.long_mm, axes.short_mm, axes.product_mm2, common.max_diameter_mm(outline, affine))
    ends = (common.ends_lps_mm(axes.long_ends), common.ends_lps_mm(axes.short_ends))
    return dict(zip(AXES, (*(round(length, 3) for length in lengths), *ends), strict=True))


def volumes_of_groups(
    counts: NDArray[np.integer], groups: Mapping[str, tuple[int, ...]], segmentation: Segmentation
) -> dict[str, float | None]:
    """`<name>_mm3` of each group from the voxel count of each label (256,); None where it cannot be told apart."""
    voxel_mm3 = geometry.voxel_volume_mm3(segmentation.affine_ras)
    return {
        f"{name}_mm3": round(float(counts[list(parts)].sum() * voxel_mm3), 3)
        if _told_apart(parts, segmentation)
        else None
        for name, parts in groups.items()
    }


def _told_apart(parts: tuple[int, ...], segmentation: Segmentation) -> bool:
    """Whether a group of labels holds all or none of what each value stands for, so that its volume is known."""
    return all(len(set(parts) & set(merged)) in (0, len(merged)) for merged in segmentation.merged.values())
