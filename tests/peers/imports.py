"""`net-import` beside PyTorch: torchvision's networks with random weights, as state dictionaries and as ONNX.

    python imports.py BIN

BIN is the folder of the tools. Needs torch, torchvision, and onnx for the second half. Prints a line a network: its largest
difference of logits relative to the largest logit, and whether it is below 1e-4.
"""
import json, pathlib, subprocess, sys, tempfile
import numpy as np, torch, torch.nn as nn, torchvision.models as models

torch.set_grad_enabled(False)
IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
HALF = torch.tensor(0.5), torch.tensor(0.5)


def network(make):
    """A network whose batch normalisation has statistics of its own and whose logits are neither 0 nor infinite."""
    torch.manual_seed(0)
    net = make().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5), module.bias.normal_(0, 0.1)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return net


def main():
    tools, = sys.argv[1:]
    work = pathlib.Path(tempfile.mkdtemp())
    failed = []

    def run(tool, *words):
        done = subprocess.run([f"{tools}/{tool}", *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)

    def compare(what, net, file, pixels, side, *words):
        images = np.random.default_rng(0).integers(0, 256, (2, 3, side, side), dtype=np.uint8)
        np.save(work / "images.npy", images)
        mean, std = pixels
        theirs = net((torch.from_numpy(images).float() / 255 - mean) / std).numpy()
        run("net-import", file, "-o", work / "net", "--force", "--quiet", *words)
        layer, = [node for name, node in json.loads((work / "net/net.json").read_text())["outputs"].items() if name != "pooled"]
        run("net-tap", work / "net", work / "images.npy", "--layer", layer, "-o", work / "logits.npy", "--force", "--quiet")
        ours = np.load(work / "logits.npy")
        difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
        if not difference < 1e-4:
            failed.append(what)
        print(f"{what:34} {np.abs(theirs).max():10.4g} {difference:10.2e}  {'as theirs' if difference < 1e-4 else 'DIFFERENT'}", flush=True)

    print(f"{'':34} {'logit':>10} {'relative':>10}")
    named = {
        "squeezenet1.0": models.squeezenet1_0, "squeezenet1.1": models.squeezenet1_1, "vgg16": models.vgg16,
        "alexnet": models.alexnet, "googlenet": lambda: models.googlenet(init_weights=False, aux_logits=True, transform_input=False),
    }
    for name, make in named.items():
        net = network(lambda: make(weights=None) if name != "googlenet" else make())
        torch.save(net.state_dict(), work / "weights.pth")
        pixels = HALF if name == "googlenet" else IMAGENET
        compare(f"{name}, .pth, --arch", net, work / "weights.pth", pixels, 224, "--arch", name)
        compare(f"{name}, .pth, recognised", net, work / "weights.pth", pixels, 224)
    exported = dict(named, resnet18=models.resnet18, resnet50=models.resnet50, densenet121=models.densenet121,
                    mobilenet_v2=models.mobilenet_v2, vgg11_bn=models.vgg11_bn, mnasnet1_0=models.mnasnet1_0)
    exported["googlenet"] = lambda **_: models.googlenet(init_weights=False, aux_logits=False, transform_input=True)
    for name, make in exported.items():
        net = network(lambda: make(weights=None))
        for way, settings in {"traced": {"dynamo": False}, "traced, unfolded": {"dynamo": False, "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE},
                              "dynamo": {"dynamo": True, "external_data": True}}.items():
            file = work / f"{name}.onnx"
            try:
                torch.onnx.export(net, (torch.zeros(1, 3, 224, 224),), file, input_names=["image"], verbose=False, **settings)
            except Exception as error:
                print(f"{name}, {way}: no export: {str(error).splitlines()[0][:80]}")
                continue
            compare(f"{name}, ONNX {way}", net, file, IMAGENET, 224, "--convention", "imagenet")
            for left in work.glob(f"{name}.onnx*"):
                left.unlink()
    if failed:
        sys.exit(f"different: {', '.join(failed)}")


if __name__ == "__main__":
    main()
