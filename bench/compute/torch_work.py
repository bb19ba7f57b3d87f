"""What the benchmarks' PyTorch programs share."""

import torch
import torch.nn.functional as F

# Where CheXpert has a label of ChestX-ray14, under its own name.
CHEXPERT_OF = {
    "Effusion": "Pleural Effusion",
    **{
        name: name
        for name in ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pneumonia", "Pneumothorax")
    },
}


def import_open_clip():
    # A torch without the torchvision built for it lacks two operators whose mere declaration lets open_clip load.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        try:
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            pass
    import open_clip

    return open_clip, library


def is_decayed(name, parameter):
    return parameter.ndim >= 2 and not any(part in name for part in ("bn", "ln", "bias", "logit_scale"))


class Head(torch.nn.Module):
    def __init__(self, dim, outputs, mlp):
        super().__init__()
        self.mlp = None
        if mlp:
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(dim, 4 * dim),
                torch.nn.BatchNorm1d(4 * dim),
                torch.nn.ReLU(),
                torch.nn.Linear(4 * dim, dim),
            )
            self.scale = torch.nn.Parameter(torch.ones(dim))
        self.classifier = torch.nn.Linear(dim, outputs)

    def forward(self, features):
        z = features if self.mlp is None else self.scale * self.mlp(features) + features
        return z, self.classifier(z)


def adversarial(z, labels, centroids, momentum=0.9):
    """L_ADV for many labels, with running centroids: every sample away from the centroids it does not belong to."""
    unit = F.normalize(z, dim=-1)
    none = (labels.sum(1, keepdim=True) == 0).to(labels.dtype)
    own = torch.cat((labels, none), 1)
    counts = own.sum(0)
    means = own.t() @ unit / counts.clamp(min=1)[:, None]
    moved = torch.where((counts > 0)[:, None], momentum * centroids + (1 - momentum) * means, centroids)
    c = F.normalize(moved, dim=-1)
    others = 1 - own
    share = others / others.sum(1, keepdim=True)
    distances = (share * torch.cdist(unit, c)).sum(1)
    angles = torch.arccos((c @ c.t()).clamp(-1 + 1e-6, 1 - 1e-6))
    pairs = own.sum(1) * others.sum(1)
    between = ((own @ angles) * others).sum(1) / pairs
    return -(distances + between).mean(), moved.detach()


def normalised_centroids(head, features, labels):
    """Class means of the head's unit features before training, No Finding last."""
    head.eval()
    with torch.no_grad():
        unit = F.normalize(head(features)[0], dim=-1)
    head.train()
    own = torch.cat((labels, (labels.sum(1, keepdim=True) == 0).float()), 1)
    return own.t() @ unit / own.sum(0).clamp(min=1)[:, None]
