"""Quantised networks: what onnxruntime computes, beside the files, as the archive `quantised.npz`.

    python tests/conformance/quantised.py FOLDER

Three small networks (convolutional, recurrent, attention), quantised by onnxruntime's own quantiser: QDQ, QOperator and dynamic, bytes with
and without a sign, scales for a tensor and for each channel; each as the quantiser writes it and as onnxruntime's optimiser rewrites it.
onnxruntime rounds what the images make, net-import does not: a tolerance is twice what quantising changes, the largest difference between
onnxruntime's results of the quantised network and of the one it was made from.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime import quantization
from torch import nn
from torch.nn import functional

import run


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.c, self.d = nn.Conv2d(8, 12, 1), nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.out = nn.Linear(24, 10)

    def forward(self, x):
        h = torch.relu(self.a(x))
        g = h + torch.sigmoid(self.b(h))
        k = functional.leaky_relu(self.d(g), 0.1) * torch.relu(self.c(functional.avg_pool2d(g, 2)))
        z = torch.cat([k, functional.max_pool2d(g, 2).repeat(1, 2, 1, 1)[:, :12]], 1)
        return self.out(functional.adaptive_avg_pool2d(z, 1).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lstm = nn.Conv2d(1, 8, 3, stride=(4, 1), padding=1), nn.LSTM(32, 12, bidirectional=True)
        self.out = nn.Linear(24, 7)

    def forward(self, x):
        y, _ = self.lstm(torch.relu(self.conv(x)).flatten(1, 2).permute(2, 0, 1))
        return self.out(y[-1] + y[0])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.q, self.k, self.v = (nn.Linear(16, 16, bias=False) for _ in range(3))
        self.out = nn.Linear(16, 5)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        a = torch.softmax(self.q(t) @ self.k(t).transpose(1, 2) * 0.25, -1)
        return self.out((a @ self.v(t)).mean(1))


class Images(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter([{"x": images[i : i + 8]} for i in range(0, len(images), 8)])

    def get_next(self):
        return next(self.batches, None)


def computed(path, images, optimised=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimised:
        options.optimized_model_filepath = str(optimised)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": images})[0]


def quantised(folder, name, images):
    """The files of one network."""
    source = folder / f"{name}.onnx"
    u8, s8 = quantization.QuantType.QUInt8, quantization.QuantType.QInt8
    for weights in (u8, s8):
        target = folder / f"{name}, dynamic, {weights}.onnx"
        quantization.quantize_dynamic(source, target, weight_type=weights)
        yield target
    for form in quantization.QuantFormat:
        for values, weights, each in ((u8, s8, False), (s8, s8, True)):
            target = folder / f"{name}, {form}, {values}, {weights}, {'channels' if each else 'tensors'}.onnx"
            options = dict(quant_format=form, activation_type=values, weight_type=weights, per_channel=each)
            quantization.quantize_static(source, target, Images(images), **options)
            yield target


def main():
    torch.manual_seed(0)
    out, kept, seen = pathlib.Path(sys.argv[1]), [], set()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        networks = (Convolutional(), (3, 16, 16)), (Recurrent(), (1, 16, 9)), (Attention(), (3, 16, 16))
        for network, shape in networks:
            name, images = type(network).__name__.lower(), torch.randn(64, *shape)
            axes = {"x": {0: "n"}, "y": {0: "n"}}
            torch.onnx.export(
                network.eval(), (images[:1],), folder / f"{name}.onnx", input_names=["x"], output_names=["y"],
                dynamic_axes=axes, opset_version=17, dynamo=False,
            )
            images = images.numpy()
            floats = computed(folder / f"{name}.onnx", images[:2])
            for path in quantised(folder, name, images):
                optimised = path.with_suffix(".optimised.onnx")
                for file, y in (path, computed(path, images[:2])), (optimised, computed(path, images[:2], optimised)):
                    model = onnx.load(file)
                    seen |= {(node.domain, node.op_type) for node in model.graph.node}
                    kept.append((file.name[:-5], model, images[:2], [y], 2 * float(np.abs(y - floats).max()), False))
    run.keep(out, "quantised", f"onnxruntime {onnxruntime.__version__}'s quantised networks", kept)
    print(json.dumps(sorted(f"{domain}.{name}".strip(".") for domain, name in seen)))
    print(f"{len(kept)} files")


main()
