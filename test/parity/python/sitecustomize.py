"""Python imports this at its start, where it is in PYTHONPATH: torchvision builds for another torch lack operators that OpenCLIP never calls."""

try:
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except ModuleNotFoundError:
    pass
