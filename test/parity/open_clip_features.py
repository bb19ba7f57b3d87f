"""Loads model folders into open_clip, as a user does, and writes the features they give. Only tests run this.

Each argument is a folder with `model` (a model folder) and `inputs.safetensors`; `output.safetensors` is written there.
Without arguments it prints which libraries there are.
"""

import sys

import torch

try:
    import open_clip
except RuntimeError:
    # torchvision builds for another torch miss operators that open_clip never calls.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import open_clip

from open_clip import hf_model
from safetensors.torch import load_file, save_file
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer


@register_model
def vit_ranflow_test(pretrained=False, **settings):
    model = VisionTransformer(img_size=16, patch_size=8, embed_dim=24, depth=2, num_heads=3)
    model.default_cfg = {}
    return model


if len(sys.argv) == 1:
    print("open_clip", "" if hf_model.transformers is None else "transformers")

for folder in sys.argv[1:]:
    inputs = load_file(f"{folder}/inputs.safetensors")
    model = open_clip.create_model(f"local-dir:{folder}/model").eval()
    with torch.no_grad():
        output = {
            "image_features": model.encode_image(inputs["images"]),
            "text_features": model.encode_text(inputs["ids"].long()),
            "scale": model.logit_scale.exp().reshape(1),
        }
    save_file({name: tensor.contiguous() for name, tensor in output.items()}, f"{folder}/output.safetensors")
