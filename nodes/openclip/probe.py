"""Prints, as one line of JSON, what this Python has of what OpenCLIP's training needs. Nothing but the standard library is assumed."""

import importlib
import json
import platform

absent = []
broken = {}
for name in ("torch", "open_clip", "webdataset", "open_clip_train.main"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent.append((error.name or name).split(".")[0])
    except Exception as error:  # a library that does not fit another one fails in ways of its own
        broken[name] = f"{type(error).__name__}: {error}"

found = {"python": platform.python_version(), "absent": list(dict.fromkeys(absent)), "broken": broken}
if not absent and not broken:
    import open_clip
    import torch

    found["versions"] = {"torch": torch.__version__, "open_clip": open_clip.__version__}
    found["gpus"] = torch.cuda.device_count()
print("\n" + json.dumps({"ranflow": found}))
