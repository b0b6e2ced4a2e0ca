"""The evaluation protocols of the field by name, each with the public code whose rules it follows.

Facts: `source`; `data` = the ground truth that its published numbers are on; `size` = its usual frame (h, w), for
saying windows in pixels. Where a source's rule is not expressed, the docstring says which and what is done instead.
All leave out the truth's bounds themselves (strictly between); sources without an upper bound get one beyond any truth.
"""

from typing import Any

from depthprobe.functional.alignment import method_for
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.protocol_core import PROTOCOLS, Protocol

NYU_EIGEN: dict[str, Any] = {"crop": (45, 471, 41, 601), "frame": (480, 640)}
GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
KITTI_EIGEN = (0.3324324, 0.91351351, 0.0359477, 0.96405229)
KB = (352, 1216)
PNG = 256.0
"""KITTI stores depth as 16-bit PNG in units of 1/256 m: all of it is below 256 m."""

NYU_TEST = "NYUv2 test, 654 images, in-filled depth"
KITTI_TEST = "KITTI Eigen test, the 652 of 697 images with improved ground truth"
KITTI_SELECTION = "KITTI's selected validation images (the server: its test images), improved ground truth"
NYU_SIZE, KITTI_SIZE, SYNS_SIZE = (480, 640), (375, 1242), (376, 1242)

BTS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3")
BY_DISPARITY = tuple((kind, "disparity") for kind in ("affine_disparity", "scale_depth", "metric_depth"))
LEAST_SQUARES = (
    *((kind, "scale_shift") for kind in ("affine_depth", "scale_depth", "metric_depth")),
    ("affine_disparity", "disparity"),
)


@PROTOCOLS.register("scenes", source="depthprobe", data="the built-in scenes, exact depth")
def scenes() -> Protocol:
    """The built-in scenes: no crop, 1e-3..80 m, each kind by the alignment made for it, disparity floor 1/80."""
    return Protocol(
        name="scenes",
        alignment=tuple((kind, method_for(kind)) for kind in OUTPUT_KINDS),
        floor=1 / 80,
    )


@PROTOCOLS.register("bts_nyu", source="BTS, pytorch/bts_eval.py; ZoeDepth, utils/misc.py", data=NYU_TEST, size=NYU_SIZE)
def bts_nyu() -> Protocol:
    """NYUv2 as BTS and most metric networks since: Eigen crop, 1e-3..10 m, no alignment, BTS's nine numbers."""
    return Protocol(name="bts_nyu", **NYU_EIGEN, max_depth=10.0, metrics=BTS)


@PROTOCOLS.register(
    "midas_nyu", source="MiDaS; gist ranftlr/a1c7a24ebb24ce0e2f2ace5bce917022",
    data="NYUv2 test, 654 images, the sensor's raw depth with its holes", size=NYU_SIZE,
)  # fmt: skip
def midas_nyu() -> Protocol:
    """NYUv2 as MiDaS and DPT: no crop, least squares in disparity, floor 1/10, % of pixels off by more than 1.25.

    MiDaS takes rawDepths as truth. Depth networks are inverted first; an affine depth has no disparity to fit.
    """
    return Protocol(
        name="midas_nyu",
        max_depth=10.0,
        alignment=BY_DISPARITY,
        floor=1 / 10,
        metrics=("d1_outlier", "abs_rel", "rmse", "delta1", "silog"),
    )


@PROTOCOLS.register("marigold_nyu", source="Marigold, eval.py and src/util/alignment.py", data=NYU_TEST, size=NYU_SIZE)
def marigold_nyu() -> Protocol:
    """NYUv2 as Marigold: Eigen crop, 1e-3..10 m, least squares scale and shift in the space of the output.

    In depth for every kind of depth, in disparity (floor 1e-3) for an affine disparity.
    """
    return Protocol(
        name="marigold_nyu",
        **NYU_EIGEN,
        max_depth=10.0,
        alignment=LEAST_SQUARES,
        floor=1e-3,
        metrics=("abs_rel", "delta1", "delta2", "delta3", "rmse", "log10", "silog"),
    )


@PROTOCOLS.register(
    "bts_kitti", source="BTS, pytorch/bts_eval.py and utils/eval_with_pngs.py, --garg_crop --do_kb_crop",
    data=KITTI_TEST, size=KITTI_SIZE,
)  # fmt: skip
def bts_kitti() -> Protocol:
    """KITTI as BTS's offline evaluation: Garg's fractions of the whole frame, 1e-3..80 m, no alignment.

    The network reads the 352x1216 benchmark crop; its prediction is put back into the whole frame, whose size varies
    (375x1242, 370x1226, 376x1241, 374x1238), and the crop is a share of that. Other window, same name: `zoe_kitti`.
    """
    return Protocol(name="bts_kitti", window=KB, crop=GARG, frame=(1, 1), metrics=BTS)


@PROTOCOLS.register(
    "zoe_kitti", source="ZoeDepth, evaluate.py, utils/misc.py, utils/config.py", data=KITTI_TEST, size=KITTI_SIZE
)
def zoe_kitti() -> Protocol:
    """KITTI as ZoeDepth and BTS while it trains: Garg's fractions of the 352x1216 crop, 1e-3..80 m, with flip.

    The prediction is resized with aligned corners and averaged with that of the mirror image. The window shares
    91.7 % (intersection over union) with the one of `bts_kitti`, which has the same name in the literature.
    """
    return Protocol(
        name="zoe_kitti",
        window=KB,
        crop=GARG,
        frame=(1, 1),
        crop_of="window",
        align_corners=True,
        flip=True,
        metrics=BTS,
    )


@PROTOCOLS.register(
    "marigold_kitti", source="Marigold, script/depth/eval.py, src/dataset/kitti_dataset.py, data_kitti_eigen_test.yaml",
    data=KITTI_TEST, size=KITTI_SIZE,
)  # fmt: skip
def marigold_kitti() -> Protocol:
    """KITTI as Marigold: Eigen's (not Garg's) fractions of the 352x1216 crop, 1e-5..80 m, least squares.

    The code knows both windows; its published configuration says `valid_mask_crop: eigen`. Scale and shift are fitted
    in depth for every kind of depth, in disparity (floor 1e-3) for an affine disparity.
    """
    return Protocol(
        name="marigold_kitti",
        window=KB,
        crop=KITTI_EIGEN,
        frame=(1, 1),
        crop_of="window",
        min_depth=1e-5,
        alignment=LEAST_SQUARES,
        floor=1e-3,
        metrics=("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "delta1", "delta2", "delta3", "irmse", "silog"),
    )


@PROTOCOLS.register(
    "midas_kitti", source="MiDaS; gist ranftlr/45f4c7ddeb1bbb88d606bc600cab6c8d", data=KITTI_SELECTION, size=KITTI_SIZE
)
def midas_kitti() -> Protocol:
    """KITTI as MiDaS and DPT: all of the 352x1216 crop, least squares in disparity, floor 1/80, % off by > 1.25.

    Every pixel with a truth counts, however far; only the prediction is capped, by the floor of its disparity.
    """
    return Protocol(
        name="midas_kitti",
        window=KB,
        max_depth=PNG,
        alignment=BY_DISPARITY,
        floor=1 / 80,
        metrics=("d1_outlier", "abs_rel", "rmse", "delta1", "silog"),
    )


@PROTOCOLS.register(
    "kitti_server", source="KITTI depth devkit, evaluate_depth.cpp", data=KITTI_SELECTION, size=KITTI_SIZE
)
def kitti_server() -> Protocol:
    """KITTI's benchmark server: all of the 352x1216 crop, no caps, no alignment; the leaderboard's four numbers first.

    Predictions are 16-bit PNG, hence 1/256..256 m; here they are not rounded to 1/256 m. The server fills missing
    pixels from their row, here they are failures. It shows `abs_rel` in per cent; its squared relative error is not
    Eigen's: `sq_rel_kitti`.
    """
    return Protocol(
        name="kitti_server",
        window=KB,
        min_depth=1 / PNG,
        max_depth=PNG,
        metrics=("silog", "sq_rel_kitti", "abs_rel", "inv_rmse_km", "mae", "rmse", "inv_mae_km", "log_mae", "log_rmse"),
    )


@PROTOCOLS.register(
    "ibims", source="iBims-1, Koch et al. 2018, arXiv:1805.01328; evaluation script 0.9",
    data="iBims-1, 100 images, without the masks `invalid` and `transparent`", size=NYU_SIZE,
)  # fmt: skip
def ibims() -> Protocol:
    """iBims-1 as its authors: whole frames, no caps, no alignment, Eigen's numbers, depth boundaries and order.

    The script leaves out pixels without a prediction; here they are failures. It adds 1e-4 inside log10. Its planarity
    needs the annotated planes: metrics `planarity` and `plane_orientation` are near it, and not part of this protocol.
    ZoeDepth's iBims numbers are of another protocol (NYU's Eigen crop, 0..10 m).
    """
    return Protocol(
        name="ibims",
        max_depth=1000.0,
        metrics=("abs_rel", "sq_rel", "rmse", "log10", "delta1", "delta2", "delta3", "dde_3m", "dde_3m_near",
                 "dde_3m_far", "dbe_acc", "dbe_com"),
    )  # fmt: skip


@PROTOCOLS.register(
    "syns", source="SYNS-Patches, Spencer et al. 2022, arXiv:2208.01489; monodepth_benchmark, src/core",
    data="SYNS-Patches, depth from LiDAR", size=SYNS_SIZE,
)  # fmt: skip
def syns() -> Protocol:
    """SYNS-Patches as monodepth_benchmark: whole frames, 1e-3..100 m, median scale, KITTI's numbers, boundaries.

    The prediction is resized as disparity. The source shows `abs_rel` in per cent, and has point-cloud scores and
    repeats every number on edge pixels alone, which are not here.
    """
    return Protocol(
        name="syns",
        max_depth=100.0,
        resize_space="disparity",
        alignment=tuple((kind, "median") for kind in ("scale_depth", "metric_depth")),
        metrics=("mae", "rmse", "inv_mae_km", "inv_rmse_km", "log_mae", "log_rmse", "silog", "abs_rel", "sq_rel_kitti",
                 "syns_dde_10m", "syns_dde_10m_near", "syns_dde_10m_far", "syns_edge_acc", "syns_edge_com"),
    )  # fmt: skip
