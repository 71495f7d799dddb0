"""`fid-score` beside pytorch-fid, clean-fid and prdc on the same images (pip install pytorch-fid clean-fid prdc torchvision).

    python fid.py BIN WEIGHTS.safetensors A.npy B.npy

A and B are images, u8 (N, 3, H, W). BIN is the folder of the tools, WEIGHTS the inception network up to Mixed_6e with batch
normalisation folded in. Prints a line a comparison: what, theirs, ours, relative difference. The whole network, with random
weights and batch normalisation, is compared too: pytorch-fid's blocks unloaded, saved as a state dictionary, imported.
"""
import json, pathlib, struct, subprocess, sys, tempfile
import numpy as np, torch, torch.nn as nn, torchvision
from pytorch_fid import inception as fid
from pytorch_fid.fid_score import calculate_frechet_distance

torch.set_grad_enabled(False)


def blocks():
    """pytorch-fid's network without weights: its constructor would download them."""
    net = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    net.Mixed_5b, net.Mixed_5c, net.Mixed_5d = fid.FIDInceptionA(192, 32), fid.FIDInceptionA(256, 64), fid.FIDInceptionA(288, 64)
    net.Mixed_6b, net.Mixed_6c = fid.FIDInceptionC(768, 128), fid.FIDInceptionC(768, 160)
    net.Mixed_6d, net.Mixed_6e = fid.FIDInceptionC(768, 160), fid.FIDInceptionC(768, 192)
    net.Mixed_7b, net.Mixed_7c = fid.FIDInceptionE_1(1280), fid.FIDInceptionE_2(2048)
    return net.eval()


def folded(path):
    """The same with the weights of a file in which batch normalisation is folded in."""
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    net = blocks()
    for name, module in net.named_modules():
        if isinstance(module, torchvision.models.inception.BasicConv2d) and f"{name}.conv.weight" in header:
            conv = module.conv
            module.conv = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
            module.bn = nn.Identity()
            for part in ("weight", "bias"):
                entry = header[f"{name}.conv.{part}"]
                first, last = entry["data_offsets"]
                values = np.frombuffer(body[first:last], np.float32).reshape(entry["shape"])
                getattr(module.conv, part).copy_(torch.from_numpy(values.copy()))
    return net


def features(net, images, upto, resize=True):
    """As pytorch_fid.inception.InceptionV3 computes them, a mean over places each, up to `upto` features."""
    pooled, pool = {}, nn.MaxPool2d(3, 2)
    for start in range(0, len(images), 50):
        x = images[start:start + 50]
        if resize:
            x = nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        x = 2 * x - 1
        stages = [(64, [net.Conv2d_1a_3x3, net.Conv2d_2a_3x3, net.Conv2d_2b_3x3, pool]),
                  (192, [net.Conv2d_3b_1x1, net.Conv2d_4a_3x3, pool]),
                  (768, [net.Mixed_5b, net.Mixed_5c, net.Mixed_5d, net.Mixed_6a, net.Mixed_6b, net.Mixed_6c, net.Mixed_6d, net.Mixed_6e]),
                  (2048, [net.Mixed_7a, net.Mixed_7b, net.Mixed_7c])]
        for count, layers in stages:
            if count > upto:
                break
            for layer in layers:
                x = layer(x)
            pooled.setdefault(count, []).append(x.mean((2, 3)).double().numpy())
    return {count: np.concatenate(parts) for count, parts in pooled.items()}


def frechet(a, b):
    return calculate_frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


def main():
    tools, weights, a_path, b_path = sys.argv[1:5]
    work = pathlib.Path(tempfile.mkdtemp())

    def run(tool, *words):
        done = subprocess.run([f"{tools}/{tool}", *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout) if "--json" in words else None

    def line(what, theirs, ours):
        print(f"{what:34} {theirs:14.7g} {ours:14.7g} {abs(theirs - ours) / max(abs(theirs), 1e-12):9.2e}", flush=True)

    print(f"{'':34} {'theirs':>14} {'ours':>14} {'relative':>9}")
    run("net-import", weights, "-o", work / "net", "--quiet")
    a, b = (torch.from_numpy(np.load(path)).float() / 255 for path in (a_path, b_path))
    net = folded(weights)
    theirs_a, theirs_b = features(net, a, 768), features(net, b, 768)
    for count in (64, 192, 768):
        ours = run("fid-score", a_path, b_path, "--net", work / "net", "--layer", f"features_{count}", "--json", "--quiet")
        line(f"pytorch-fid, {count} features", frechet(theirs_a[count], theirs_b[count]), ours["fid"])
    np.save(work / "a.npy", theirs_a[768])
    np.save(work / "b.npy", theirs_b[768])
    from prdc import compute_prdc
    ours = run("fid-score", work / "a.npy", work / "b.npy", "--prdc", "--json", "--quiet")
    for name, value in compute_prdc(theirs_a[768], theirs_b[768], nearest_k=5).items():
        line(f"prdc, {name}", value, ours[name])
    from cleanfid.resize import build_resizer
    resizer = build_resizer("clean")
    clean = lambda images: torch.from_numpy(np.stack([resizer(image.transpose(1, 2, 0)) for image in images])).permute(0, 3, 1, 2) / 256
    few = [np.load(path)[:64] for path in (a_path, b_path)]
    for name, images in zip("ab", few):
        np.save(work / f"few_{name}.npy", images)
        run("fid-score", "features", work / f"few_{name}.npy", "--net", work / "net", "--resize", "clean", "--quiet", "-o", work / "clean.npy")
        theirs = features(net, clean(images).float(), 768, resize=False)[768]
        line(f"clean-fid's resizing, |{name}|", np.linalg.norm(theirs), np.linalg.norm(np.load(work / "clean.npy")))
        print(f"  relative distance of the features {np.linalg.norm(theirs - np.load(work / 'clean.npy')) / np.linalg.norm(theirs):.2e}")
    torch.manual_seed(0)
    whole = blocks()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2), module.weight.uniform_(0.5, 2), module.bias.normal_(0, 0.1)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for zipped in (True, False):
        torch.save(whole.state_dict(), work / "whole.pth", _use_new_zipfile_serialization=zipped)
        run("net-import", work / "whole.pth", "-o", work / "whole", "--quiet", "--force")
        run("fid-score", "features", work / "few_a.npy", "--net", work / "whole", "--quiet", "-o", work / "whole.npy")
        theirs, ours = features(whole, a[:64], 2048)[2048], np.load(work / "whole.npy")
        line(f"2048 features, random, zip {zipped}", np.linalg.norm(theirs), np.linalg.norm(ours))
        print(f"  relative distance of the features {np.linalg.norm(theirs - ours) / np.linalg.norm(theirs):.2e}")


if __name__ == "__main__":
    main()
