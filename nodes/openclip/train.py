"""Trains by open_clip_train on the batches that ranflow planned. torchrun starts this file once per process.

usage: train.py SETTINGS.json

Model, optimiser, schedule, loss, checkpoints and log are OpenCLIP's own. What is replaced is where its batches come from: it
would shuffle the shards by itself, where a run that can be compared needs the same pairs in the same batches with the same crops.
"""

import io
import json
import logging
import os
import sys
import tarfile
import threading
import time
import types

import numpy as np
import open_clip
import torch
from open_clip_train import main as trainer
from PIL import Image

# Whether an image is too large to be decoded was decided when the shards were written.
Image.MAX_IMAGE_PIXELS = None


class Shards:
    """Members of WebDataset shards, found by sample and extension."""

    def __init__(self, paths):
        self.places = {}
        for path in paths:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    key, extension = member.name.split(".", 1)
                    self.places.setdefault(int(key), {})[extension] = (path, member.offset_data, member.size)

    def read(self, sample):
        return {extension: read_part(*place) for extension, place in self.places[sample].items()}


def read_part(path, offset, size):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


class Pairs(torch.utils.data.Dataset):
    """Pairs as the model takes them. An item is named by a row of the plan: its sample, and where images are cropped, the crop."""

    def __init__(self, settings):
        self.shards = Shards(settings["shards"])
        self.size = settings["imageSize"]
        self.context_length = settings["contextLength"]
        self.noise_width = settings["noiseWidth"]
        mean, std = (np.array(settings[name]).reshape(3, 1) for name in ("mean", "std"))
        self.table = ((np.arange(256) / 255 - mean) / std).astype(np.float32)

    def __getitem__(self, row):
        sample, *crop = row
        files = self.shards.read(sample)
        record = json.loads(files["json"])
        image = Image.open(io.BytesIO(files.get("png") or files["jpg"]))
        if crop:
            left, top, width, height = crop
            way = Image.Resampling.NEAREST if record["nearest"] else Image.Resampling.BICUBIC
            image = image.crop((left, top, left + width, top + height)).resize((self.size, self.size), way)
        rgb = np.asarray(image.convert("RGB"))
        pixels = np.stack([self.table[channel][rgb[:, :, channel]] for channel in range(3)])
        ids = np.zeros(self.context_length, np.int64)
        ids[: len(record["tokens"])] = record["tokens"]
        noise = None
        if self.noise_width is not None:
            noise = np.zeros((self.context_length, self.noise_width), np.float32)
            if "noise.npy" in files:
                values = np.load(io.BytesIO(files["noise.npy"]))
                noise[: len(values)] = values
        return pixels, ids, noise


class NoisyTexts:
    """Token ids with what is added to their embeddings. It travels where OpenCLIP has a tensor of ids."""

    def __init__(self, ids, noise):
        self.ids = ids
        self.noise = noise

    def to(self, *args, **kwargs):
        return NoisyTexts(self.ids.to(*args, **kwargs), self.noise.to(*args, **kwargs))


def collate(items):
    pixels, ids, noise = zip(*items)
    images, texts = (torch.from_numpy(np.stack(part)) for part in (pixels, ids))
    return images, texts if noise[0] is None else NoisyTexts(texts, torch.from_numpy(np.stack(noise)))


class Batches:
    """The rows of each batch that are this process's, part by part of a batch that goes through the model in parts."""

    def __init__(self, settings, rank, world_size):
        self.plan = np.load(settings["plan"], mmap_mode="r")
        self.size = settings["batchSize"]
        self.parts = settings["parts"]
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def __iter__(self):
        rows = self.plan[self.epoch]
        for start in range(0, len(rows), self.size):
            batch = rows[start : start + self.size]
            share = len(batch) // (self.world_size * self.parts)
            for part in range(self.parts):
                first = (part * self.world_size + self.rank) * share
                yield batch[first : first + share].tolist()


class TrainingData:
    """What OpenCLIP's training asks of a data set."""

    def __init__(self, settings, args):
        self.batches = Batches(settings, args.rank, args.world_size)
        self.dataloader = torch.utils.data.DataLoader(
            Pairs(settings),
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=args.workers,
            persistent_workers=args.workers > 0,
            pin_memory=torch.device(args.device).type == "cuda",
        )
        samples = self.batches.plan.shape[1]
        self.dataloader.num_samples = samples
        self.dataloader.num_batches = -(-samples // self.batches.size) * self.batches.parts

    def set_epoch(self, epoch):
        self.batches.epoch = epoch


def add_noise(model):
    """Makes a model take NoisyTexts."""
    waiting = []

    def unpack(module, inputs):
        images, texts = inputs
        waiting[:] = [texts.noise]
        return images, texts.ids

    model.register_forward_pre_hook(unpack)
    model.token_embedding.register_forward_hook(lambda module, inputs, embedded: embedded + waiting[0])


def freeze_batch_norms(model):
    """Keeps the running statistics of a ResNet as they are, for training too; scales and shifts are trained."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.train = types.MethodType(lambda self, mode=True: self, module)


def end_with_parent():
    """torchrun puts its processes into sessions of their own, so that they would outlive a torchrun that is killed."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(settings_path):
    end_with_parent()
    if os.environ["RANK"] != "0":
        # What all processes have to tell, the first one tells.
        logging.disable(logging.INFO)
    with open(settings_path) as file:
        settings = json.load(file)
    open_clip.add_model_config(settings["modelConfig"])
    trainer.get_data = lambda args, *_, **__: {"train": TrainingData(settings, args)}
    create = trainer.create_model_and_transforms

    def create_ours(*args, **kwargs):
        model, *transforms = create(*args, **kwargs)
        freeze_batch_norms(model)
        if settings["noiseWidth"] is not None:
            add_noise(model)
        return model, *transforms

    trainer.create_model_and_transforms = create_ours
    if settings["device"] == "cpu":
        parallel = torch.nn.parallel.DistributedDataParallel
        # OpenCLIP names a device for each process, which torch refuses for processors.
        torch.nn.parallel.DistributedDataParallel = lambda model, device_ids, **kwargs: parallel(model, **kwargs)
    # torchrun would take some of these for its own, were they arguments.
    failed = trainer.main(settings["options"])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
