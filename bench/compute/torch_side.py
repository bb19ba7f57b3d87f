"""PyTorch's side of a pair: the same work with open_clip's own models, written as its users write it.

Speaks the protocol of side.ts: a line when all is warm, then a measurement for each `run`, and `{peak}` for `end`.
"""

import json
import math
import resource
import sys
import time

pair = json.loads(sys.argv[-1])
work = pair["work"]

import torch
import torch.nn.functional as F

torch.set_num_threads(pair["threads"])
torch.set_num_interop_threads(1)
torch.manual_seed(1)

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)


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


def prepare_clip(kind, arch, batch):
    open_clip, library = import_open_clip()
    model = open_clip.create_model(arch)
    size = model.visual.image_size[0]
    pixels = torch.rand(batch, 3, size, size)
    if kind == "forward":
        model.eval()

        def forward():
            with torch.no_grad():
                model.encode_image(pixels)

        return forward, library
    if kind == "pgd":
        model.eval()
        model.requires_grad_(False)
        targets = F.normalize(torch.rand(batch, model.text_projection.shape[1]), dim=-1)
        return (lambda: pgd(model, pixels, targets, steps=2)), library

    decayed = [p for n, p in model.named_parameters() if is_decayed(n, p)]
    rest = [p for n, p in model.named_parameters() if not is_decayed(n, p)]
    optimizer = torch.optim.AdamW(
        [{"params": rest, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.2}],
        lr=1e-5,
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    loss_of = open_clip.ClipLoss()
    texts = captions(batch)
    model.train()

    def step():
        optimizer.zero_grad()
        images, written, scale = model(pixels, texts)
        loss = loss_of(images, written, scale)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        loss.item()

    return step, library


def is_decayed(name, parameter):
    return parameter.ndim >= 2 and not any(part in name for part in ("bn", "ln", "bias", "logit_scale"))


def captions(batch):
    lengths = pair["captionLengths"]
    texts = torch.zeros(batch, 77, dtype=torch.long)
    for row in range(batch):
        length = lengths[row % len(lengths)]
        texts[row, 0] = 49406
        texts[row, 1 : length + 1] = 320 + (row * 7919 + torch.arange(1, length + 1) * 104729) % 48000
        texts[row, length + 1] = 49407
    return texts


def pgd(model, clean, targets, steps, eps=8 / 255, alpha=1 / 255):
    delta = torch.zeros_like(clean)
    for _ in range(steps):
        delta.requires_grad_(True)
        features = F.normalize(model.encode_image((clean + delta - MEAN) / STD), dim=-1)
        (gradient,) = torch.autograd.grad((features * targets).sum(), delta)
        with torch.no_grad():
            delta = (delta + alpha * gradient.sign()).clamp(-eps, eps)
            delta = (clean + delta).clamp(0, 1) - clean
    with torch.no_grad():
        features = F.normalize(model.encode_image((clean + delta - MEAN) / STD), dim=-1)
        (features * targets).sum(-1).tolist()


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


def prepare_head(method, rows, dim, width=14, batch=64):
    features = torch.randn(rows, dim)
    labels = (torch.rand(rows, width) < 0.15).float()
    ran = method == "ran"

    def epoch():
        head = Head(dim, width, ran)
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3 if ran else 0.01, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rows // batch)
        centroids = None
        if ran:
            head.eval()
            with torch.no_grad():
                unit = F.normalize(head(features)[0], dim=-1)
                own = torch.cat((labels, (labels.sum(1, keepdim=True) == 0).float()), 1)
                centroids = own.t() @ unit / own.sum(0)[:, None]
            head.train()
        for start in range(0, rows, batch):
            f, y = features[start : start + batch], labels[start : start + batch]
            z, logits = head(f)
            loss = F.binary_cross_entropy_with_logits(logits, y)
            if ran:
                mse = (F.normalize(z, dim=-1) - F.normalize(f, dim=-1)).square().sum(1).mean()
                centred = z - z.mean(0)
                covariance = centred.t() @ centred / (len(z) - 1)
                cov = (covariance.square().sum() - covariance.diagonal().square().sum()) / dim
                adv, centroids = adversarial(z, y, centroids)
                loss = loss + 0.01 * (mse + cov) + 0.015 * adv
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()

    return epoch, None


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(message):
    print(json.dumps(message), flush=True)


if work["kind"] == "head":
    run, _keep = prepare_head(work["method"], work["rows"], work["dim"])
else:
    run, _keep = prepare_clip(work["kind"], work["arch"], work["batch"])
run()
say({"ready": True})
for line in sys.stdin:
    if line.strip() == "end":
        break
    began, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(pair["repeats"]):
        run()
    say({"wall": time.perf_counter() - began, "cpu": cpu_seconds() - cpu})
say({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
