"""The graph of quickstart.yaml and laptop.yaml as a researcher would write it in one sequential PyTorch script.

Every distinct model is trained once (five: clean, and two ratios of two kinds of noise), every distinct head once.
Argument: JSON with the folder of the datasets and the pipeline's inputs. Prints the AUC table.
"""

import csv
import json
import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "compute"))
from torch_work import CHEXPERT_OF, Head, adversarial, import_open_clip, is_decayed, normalised_centroids

task = json.loads(sys.argv[-1])
inputs = task["inputs"]
root = Path(task["folder"])
open_clip, _library = import_open_clip()
torch.manual_seed(7)
rng = random.Random(7)

ARCHS = {
    "vit-nano": (48, 32, 2, 64, 16, 8, 1024, 64, 4, 2),
    "vit-micro": (64, 64, 3, 96, 24, 8, 1024, 96, 4, 2),
}
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)
embed, SIZE, layers, width, head_width, patch, vocabulary, text_width, heads, text_layers = ARCHS[inputs["arch"]]
CONTEXT = 77


def new_model():
    torch.manual_seed(7)
    return open_clip.CLIP(
        embed_dim=embed,
        vision_cfg=open_clip.CLIPVisionCfg(
            image_size=SIZE, layers=layers, width=width, head_width=head_width, patch_size=patch
        ),
        text_cfg=open_clip.CLIPTextCfg(
            context_length=CONTEXT, vocab_size=vocabulary, width=text_width, heads=heads, layers=text_layers
        ),
    )


def tensor_of(image):
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)


def fit(image):
    scale = SIZE / min(image.size)
    image = image.resize([max(SIZE, round(side * scale)) for side in image.size], Image.BICUBIC)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return image.crop((left, top, left + SIZE, top + SIZE))


def random_crop(image):
    area = image.width * image.height * rng.uniform(0.9, 1)
    ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    w = min(image.width, round(math.sqrt(area * ratio)))
    h = min(image.height, round(math.sqrt(area / ratio)))
    left, top = rng.randint(0, image.width - w), rng.randint(0, image.height - h)
    return image.crop((left, top, left + w, top + h)).resize((SIZE, SIZE), Image.BICUBIC)


WORDS = {}


def tokens_of(caption):
    ids = torch.zeros(CONTEXT, dtype=torch.long)
    words = re.findall(r"\w+|[^\w\s]", caption.lower())[: CONTEXT - 2]
    ids[0] = vocabulary - 2
    for at, word in enumerate(words):
        ids[at + 1] = WORDS.setdefault(word, len(WORDS) % (vocabulary - 3) + 1)
    ids[len(words) + 1] = vocabulary - 1
    return ids


def rewrite(caption):
    swaps = {"left": "right", "right": "left", "no": "with", "small": "large", "large": "small", "chest": "abdomen"}
    return " ".join(swaps.get(word, word) for word in caption.split())


def train(images, captions, epochs=inputs["epochs"], batch=32, rate=1e-3, warmup=20):
    model = new_model()
    model.train()
    groups = [
        {"params": [p for n, p in model.named_parameters() if not is_decayed(n, p)], "weight_decay": 0.0},
        {"params": [p for n, p in model.named_parameters() if is_decayed(n, p)], "weight_decay": 0.2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6)
    loss_of = open_clip.ClipLoss()
    texts = torch.stack([tokens_of(caption) for caption in captions])
    per_epoch = len(images) // batch
    total = per_epoch * epochs
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for at in range(per_epoch):
            step = epoch * per_epoch + at
            now = step + 1 if step < warmup else None
            for group in optimizer.param_groups:
                group["lr"] = (
                    rate * now / warmup
                    if now
                    else rate * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
                )
            rows = order[at * batch : (at + 1) * batch]
            pixels = torch.stack([tensor_of(random_crop(images[row])) for row in rows])
            loss = loss_of(*model((pixels - MEAN) / STD, texts[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            loss.item()
    return model.eval()


def attack(model, clean, targets, steps=inputs["attackSteps"], eps=8 / 255, alpha=2 / 255, batch=16):
    model.requires_grad_(False)
    attacked = []
    for start in range(0, len(clean), batch):
        x = torch.stack([tensor_of(fit(image)) for image in clean[start : start + batch]])
        goal = torch.stack([tensor_of(fit(rng.choice(targets))) for _ in range(len(x))])
        with torch.no_grad():
            wanted = F.normalize(model.encode_image((goal - MEAN) / STD), dim=-1)
        delta = torch.zeros_like(x)
        for _ in range(steps):
            delta.requires_grad_(True)
            features = F.normalize(model.encode_image((x + delta - MEAN) / STD), dim=-1)
            (gradient,) = torch.autograd.grad((features * wanted).sum(), delta)
            with torch.no_grad():
                delta = (delta + alpha * gradient.sign()).clamp(-eps, eps)
                delta = (x + delta).clamp(0, 1) - x
        rounded = ((x + delta).permute(0, 2, 3, 1) * 255 + 0.5).floor().to(torch.uint8).numpy()
        attacked += [Image.fromarray(one) for one in rounded]
    return attacked


def embed_all(model, pixels, batch=32):
    with torch.no_grad():
        return torch.cat(
            [model.encode_image((pixels[at : at + batch] - MEAN) / STD) for at in range(0, len(pixels), batch)]
        )


def train_head(method, features, labels, epochs=inputs["headEpochs"], batch=64):
    torch.manual_seed(7)
    mlp, ran = method != "probe", method == "ran"
    head = Head(features.shape[1], labels.shape[1], mlp)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3 if mlp else 0.01, weight_decay=1e-4)
    per_epoch = math.ceil(len(features) / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * per_epoch)
    centroids = normalised_centroids(head, features, labels) if ran else None
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for start in range(0, len(features), batch):
            rows = order[start : start + batch]
            if len(rows) < 2:
                continue
            f, y = features[rows], labels[rows]
            z, logits = head(f)
            loss = F.binary_cross_entropy_with_logits(logits, y)
            if ran:
                mse = (F.normalize(z, dim=-1) - F.normalize(f, dim=-1)).square().sum(1).mean()
                centred = z - z.mean(0)
                covariance = centred.t() @ centred / (len(z) - 1)
                cov = (covariance.square().sum() - covariance.diagonal().square().sum()) / f.shape[1]
                adv, centroids = adversarial(z, y, centroids)
                loss = loss + 0.01 * (mse + cov) + 0.015 * adv
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
    return head.eval()


def auc(scores, truth):
    values = []
    for column in range(truth.shape[1]):
        positive = truth[:, column] > 0
        if positive.all() or not positive.any():
            continue
        ranks = scores[:, column].argsort().argsort().astype(float) + 1
        p, n = positive.sum(), (~positive).sum()
        values.append((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))
    return float(np.mean(values)) if values else float("nan")


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def opened(path):
    image = Image.open(path)
    image.load()
    return image


roco = read_table(root / "rocov2" / "train_captions.csv")
roco_images = [opened(root / "rocov2" / "train" / f"{row['ID']}.jpg") for row in roco]
roco_captions = [row["Caption"] for row in roco]
medicat = [opened(path) for path in sorted((root / "medicat" / "release" / "figures").iterdir())]
cxr = read_table(root / "chestxray14" / "Data_Entry_2017_v2020.csv")
LABELS = sorted({label for row in cxr for label in row["Finding Labels"].split("|")} - {"No Finding"})
found = {path.name: path for path in (root / "chestxray14").rglob("*.png")}
rng.shuffle(cxr)
cut, test_from = round(0.7 * len(cxr)), round(0.8 * len(cxr))


def cxr_set(rows):
    pixels = torch.stack([tensor_of(fit(opened(found[row["Image Index"]]))) for row in rows])
    labels = torch.tensor([[float(name in row["Finding Labels"].split("|")) for name in LABELS] for row in rows])
    return pixels, labels


def chexpert_set():
    rows = read_table(next((root / "chexpert").rglob("valid.csv")))
    pixels = torch.stack([tensor_of(fit(opened(root / "chexpert" / row["Path"]))) for row in rows])
    shared = [name for name in LABELS if CHEXPERT_OF.get(name) in rows[0]]
    truth = np.array([[float(row[CHEXPERT_OF[name]] or 0) for name in shared] for row in rows])
    return pixels, [LABELS.index(name) for name in shared], truth


train_pixels, train_labels = cxr_set(cxr[:cut])
test_pixels, test_labels = cxr_set(cxr[test_from:])
ood_pixels, ood_columns, ood_truth = chexpert_set()

order = list(range(len(roco)))
rng.shuffle(order)
noisy = {gamma: order[: round(gamma * len(roco) / 100)] for gamma in (10, 30)}
models = {("none", 0): train(roco_images, roco_captions)}
attacked = dict(zip(noisy[30], attack(models["none", 0], [roco_images[row] for row in noisy[30]], medicat)))
models["none", 0].requires_grad_(True)
for gamma, rows in noisy.items():
    images = list(roco_images)
    captions = list(roco_captions)
    for row in rows:
        images[row] = attacked[row]
        captions[row] = rewrite(captions[row])
    models["image", gamma] = train(images, roco_captions)
    models["caption", gamma] = train(roco_images, captions)

for (noise, gamma), model in models.items():
    features = embed_all(model, train_pixels)
    test, ood = embed_all(model, test_pixels), embed_all(model, ood_pixels)
    for method in ("probe", "mlp", "ran"):
        head = train_head(method, features, train_labels)
        with torch.no_grad():
            inside = torch.sigmoid(head(test)[1]).numpy()
            outside = torch.sigmoid(head(ood)[1]).numpy()[:, ood_columns]
        print(noise, gamma, method, round(auc(inside, test_labels.numpy()), 4), round(auc(outside, ood_truth), 4))
