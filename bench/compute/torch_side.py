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

from torch_work import Head, adversarial, import_open_clip, is_decayed, normalised_centroids

torch.set_num_threads(pair["threads"])
torch.set_num_interop_threads(1)
torch.manual_seed(1)

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)


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
            centroids = normalised_centroids(head, features, labels)
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
