"""Graphs of torchvision's and timm's architectures, as lib/src/net/import/stored.json.zst keeps them.

    generate.py BIN OUT.json.zst [NAME,…]

Every network is made with random weights that no two tensors share, exported by PyTorch, and imported by BIN/net-import; each parameter
of the imported network is then found among the network's own tensors by its values. Needs torch, torchvision, timm, efficientnet_lite_pytorch and zstandard.
"""

import contextlib
import io
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
# One operation that the exporter does not know, for a few that it does.
torch.backends.mha.set_fastpath_enabled(False)

IMAGENET, HALF, CLIP = "imagenet", "inception", "clip"


def torchvision(name, **settings):
    import torchvision.models

    return getattr(torchvision.models, name)(weights=None, **settings)


def timm(name, **settings):
    import timm

    timm.layers.set_fused_attn(False)
    return timm.create_model(name, pretrained=False, **settings)


def lite():
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def architectures():
    """Name, how it is made, side of its images, convention."""
    plain = """resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2
        vgg11 vgg13 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn densenet121 densenet169 densenet201 densenet161 mobilenet_v2
        mobilenet_v3_small mobilenet_v3_large efficientnet_b0 regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_y_400mf
        regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf shufflenet_v2_x1_0 mnasnet1_0 convnext_tiny convnext_small swin_t vit_b_16""".split()
    for name in plain:
        yield name, (lambda name=name: torchvision(name)), 224, IMAGENET
    yield "inception_v3", lambda: torchvision("inception_v3", init_weights=False), 299, HALF
    yield "efficientnet-lite0", lite, 224, IMAGENET
    for name, side, convention in [
        ("vit_tiny_patch16_224", 224, HALF),
        ("vit_small_patch16_224", 224, HALF),
        ("vit_base_patch16_224", 224, HALF),
        ("deit_tiny_distilled_patch16_224", 224, IMAGENET),
        ("vit_small_patch14_dinov2", 518, IMAGENET),
        ("vit_base_patch14_dinov2", 518, IMAGENET),
        ("vit_base_patch32_clip_224", 224, CLIP),
        ("vit_base_patch16_clip_224", 224, CLIP),
        ("efficientnet_b0", 224, IMAGENET),
        ("efficientnet_lite0", 224, IMAGENET),
        ("mobilenetv3_large_100", 224, IMAGENET),
        ("convnext_tiny", 224, IMAGENET),
        ("convnext_small", 224, IMAGENET),
        ("swin_tiny_patch4_window7_224", 224, IMAGENET),
        ("resnet50_clip", 224, CLIP),
    ]:
        yield f"timm.{name}", (lambda name=name: timm(name)), side, convention


def distinct(network):
    """Random tensors, none of which holds a number of another, and small ones no number twice; whole numbers are left alone."""
    with torch.no_grad():
        for number, (name, tensor) in enumerate(network.state_dict().items()):
            if tensor.dtype.is_floating_point:
                generator = torch.Generator().manual_seed(number)
                values = torch.rand(tensor.shape, generator=generator) + 0.5
                if tensor.numel() <= 1 << 16:
                    places = torch.randperm(1 << 23, generator=generator)[: tensor.numel()]
                    values = (0.5 + places / 2**24).reshape(tensor.shape)
                tensor.copy_(values / 8 if tensor.ndim > 1 else values)


def source(parameter, name, tensors):
    """Where a parameter comes from; None for the tensor of its own name."""
    own = tensors.get(name)
    if own is not None and own.shape == parameter.shape and np.array_equal(own, parameter):
        return None
    if parameter.size and (parameter == parameter.flat[0]).all() and parameter.size > 1:
        return {"fill": float(parameter.flat[0])}
    for key, tensor in tensors.items():
        if tensor.size == parameter.size and tensor.ndim <= 4:
            for order in itertools.permutations(range(tensor.ndim)):
                if np.array_equal(tensor.transpose(order).ravel(), parameter.ravel()):
                    return {"tensor": [key, list(order)]}
    for key, tensor in tensors.items():
        start = np.flatnonzero(tensor.ravel() == parameter.flat[0])
        if start.size and np.array_equal(tensor.ravel()[start[0]:start[0] + parameter.size], parameter.ravel()):
            return {"slice": [key, int(start[0])]}
        if parameter.ndim == 2 and tensor.shape == parameter.shape and np.isin(parameter[0], tensor[0]).all():
            places = {value: place for place, value in enumerate(tensor[0].tolist())}
            return {"columns": [key, [places[value] for value in parameter[0].tolist()]]}
    for key, tensor in tensors.items():
        if tensor.ndim <= 2 and np.isin(parameter, tensor).all():
            places = {value: place for place, value in enumerate(tensor.ravel().tolist())}
            found = np.array([places[value] for value in parameter.ravel().tolist()])
            if np.unique(found).size < tensor.size:
                raise ValueError(f"{name}: some values of {key} have no place")
            times, block = repeated(found)
            return {"gather": [key, block.ravel().tolist(), block.shape[1], times]}
    if parameter.size == 1:
        return {"fill": float(parameter.flat[0])}
    if np.unique(parameter).size < 4:
        flat = parameter.ravel()
        starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
        return {"runs": [[float(flat[start]), int(count)] for start, count in zip(starts, np.diff(np.r_[starts, flat.size]))]}
    raise ValueError(f"{name}: no tensor holds its values, shape {parameter.shape}")


def repeated(values):
    """How often the rows of a matrix are repeated one by one, as often as can be, and the matrix."""
    divisors = [divisor for divisor in range(1, values.size + 1) if values.size % divisor == 0]
    for times in reversed(divisors):
        for length in divisors:
            if times * length <= values.size and values.size % (times * length) == 0:
                cube = values.reshape(-1, times, length)
                if (cube == cube[:, :1]).all():
                    return times, cube[:, 0]


def stored(bin, name, network, side, convention, folder):
    distinct(network)
    network.eval()
    model, net = folder / "m.onnx", folder / "net"
    image = torch.rand(1, 3, side, side)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(
            network, (image,), model, input_names=["image"], output_names=["logits"], opset_version=17, dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        )
    subprocess.run([bin / "net-import", model, "-o", net, "--force", "--quiet"], check=True)
    graph = json.loads((net / "net.json").read_text())
    tensors = {key: value.numpy() for key, value in network.state_dict().items() if value.dtype.is_floating_point}
    sources, used = {}, set()
    for parameter in graph["parameters"]:
        found = source(np.load(net / "params" / f"{parameter}.npy"), parameter, tensors)
        if found is not None:
            sources[parameter] = found
            used.update(value[0] for kind, value in found.items() if kind in ("tensor", "gather", "slice", "columns"))
        else:
            used.add(parameter)
    return {
        "name": name, "size": [3, side, side], "convention": convention, "ignored": sorted(set(tensors) - used),
        "nodes": graph["nodes"], "outputs": graph["outputs"], "sources": sources, **of_file(network, sources),
    }


def of_file(network, sources):
    """What a file of weights holds beside the parameters' numbers: the shapes of tensors that are not parameters as they are, and whole
    numbers that the architecture itself fixes, such as Swin's places in its tables of biases."""
    tensors = network.state_dict()
    keys = {value[0] for found in sources.values() for kind, value in found.items() if kind in ("tensor", "gather", "slice", "columns")}
    whole = {key: tensor for key, tensor in tensors.items() if tensor.dtype == torch.int64 and tensor.ndim > 0}
    return {
        "shapes": {key: list(tensors[key].shape) for key in sorted(keys)},
        "buffers": {key: [list(tensor.shape), tensor.ravel().tolist()] for key, tensor in whole.items()},
    }


def main():
    import zstandard

    bin, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    only = set(sys.argv[3].split(",")) if len(sys.argv) > 3 else None
    all = []
    for name, make, side, convention in architectures():
        if only and name not in only:
            continue
        try:
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                all.append(stored(bin, name, make(), side, convention, pathlib.Path(folder)))
                print(name, len(all[-1]["nodes"]), "nodes", len(all[-1]["sources"]), "sources", flush=True)
        except Exception as error:  # noqa: BLE001
            print(name, "LEFT OUT", repr(error)[:300], flush=True)
    text = json.dumps(all, separators=(",", ":")).encode()
    out.write_bytes(zstandard.ZstdCompressor(level=19).compress(text))
    print(len(all), "architectures", len(text), "bytes", out.stat().st_size, "compressed")


if __name__ == "__main__":
    main()
