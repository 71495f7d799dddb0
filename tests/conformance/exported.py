"""What `net-export` writes, in the programs that it is for: PyTorch's `load_state_dict` and onnxruntime.

    python tests/conformance/exported.py BIN [NAME ...]

A network of torchvision or timm with random weights: its state_dict as a file, imported by its weights alone, exported. PyTorch must load the
safetensors file strictly, and compute what it did; onnxruntime must compute it of the ONNX file, within 1e-5 of the largest value.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import safetensors.torch
import timm
import torch
import torchvision

NAMES = ["resnet18", "densenet121", "vgg11_bn", "mobilenet_v2", "convnext_tiny", "swin_t", "timm:vit_tiny_patch16_224", "timm:efficientnet_b0"]


def network(name):
    torch.manual_seed(0)
    made = timm.create_model(name[5:]) if name.startswith("timm:") else torchvision.models.get_model(name)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made.eval()


def difference(name, tools, folder):
    original = network(name)
    torch.save(original.state_dict(), folder / "x.pth")
    call = lambda tool, *words: subprocess.run([tools / tool, *map(str, words)], check=True, capture_output=True, text=True)
    call("net-import", folder / "x.pth", "-o", folder / "net")
    call("net-export", folder / "net", "-o", folder / "x.safetensors")
    call("net-export", folder / "net", "-o", folder / "x.onnx")
    again = network(name)
    for tensor in again.state_dict().values():
        tensor.zero_()
    again.load_state_dict(safetensors.torch.load_file(folder / "x.safetensors"), strict=True)
    pixels = torch.rand(2, 3, 224, 224)
    said = json.loads((folder / "net" / "net.json").read_text())["input"]
    mean, std = (torch.tensor(said.get(key) or [value])[:, None, None] for key, value in (("mean", 0.0), ("std", 1.0)))
    low, high = said["range"]
    with torch.no_grad():
        x = (low + (high - low) * pixels - mean) / std
        expected, loaded = original(x).numpy(), again.eval()(x).numpy()
    session = onnxruntime.InferenceSession(folder / "x.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})[0].reshape(expected.shape)
    return [float(np.abs(value - expected).max() / np.abs(expected).max()) for value in (loaded, found)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    arguments = parser.parse_args()
    wrong = []
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                loaded, run = difference(name, arguments.bin.resolve(), pathlib.Path(folder))
                print(f"{name:30} load_state_dict {loaded:.1e}  onnxruntime {run:.1e}", flush=True)
                wrong += [name] if max(loaded, run) > 1e-5 else []
            except (RuntimeError, subprocess.CalledProcessError) as error:
                print(name, getattr(error, "stderr", "") or str(error)[:600], flush=True)
                wrong.append(name)
    sys.exit(f"wrong: {', '.join(wrong)}" if wrong else 0)


main()
