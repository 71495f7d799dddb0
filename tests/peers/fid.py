"""`fid-score` beside torch-fidelity, pytorch-fid, clean-fid and prdc, in one Python environment: `just peers-fid`.

    python fid.py BIN WEIGHTS.safetensors [--images N]

BIN is the folder of the tools, WEIGHTS the inception network up to Mixed_6e with batch normalisation folded in; what lies above is
random, the same on both sides. The same features go through both sides' distances, and a folder of PNG, PPM and JPEG files through both
sides' readers, resizing and networks, by their own code. Prints a line a comparison: what, theirs, ours, the difference and the most
that is allowed. Ends with 1 if one is larger.
"""
import argparse, contextlib, io, json, os, pathlib, struct, subprocess, sys, tempfile
os.environ.setdefault("TQDM_DISABLE", "1")
import numpy as np, torch, torchvision
from PIL import Image
import cleanfid.fid, pytorch_fid.fid_score, pytorch_fid.inception as theirs
from prdc import compute_prdc
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

torch.set_grad_enabled(False)
EPSILON = 1e-3  # of batch normalisation
failed = []


def line(what, theirs, ours, difference, most):
    good = difference <= most
    failed.extend([] if good else [what])
    print(f"{what:58} {theirs:14.8g} {ours:14.8g} {difference:9.2e} {most:7.0e}{'' if good else '  too far'}", flush=True)


def number(what, theirs, ours, relative):
    line(what, theirs, ours, abs(theirs - ours) / max(abs(theirs), 1e-12) if relative else abs(theirs - ours), relative or 0)


def rows(what, theirs, ours, most):
    """Relative distance of features, the largest of any image."""
    theirs, ours = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
    each = np.linalg.norm(theirs - ours, axis=1) / np.linalg.norm(theirs, axis=1)
    line(what, np.linalg.norm(theirs), np.linalg.norm(ours), each.max(), most)


def state(path, seed):
    """A state dictionary by pytorch-fid's names: of a file as far as it goes, random above."""
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + length]), data[8 + length:]

    def tensor(name):
        first, last = header[name]["data_offsets"]
        return torch.from_numpy(np.frombuffer(body[first:last], np.float32).reshape(header[name]["shape"]).copy())

    # `fc` has 1008 classes here.
    network = theirs._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_7b, network.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(2048)
    draw, values = torch.Generator().manual_seed(seed), {}
    for name, old in network.state_dict().items():
        module, _, part = name.rpartition(".")
        conv = module.removesuffix(".bn") + ".conv"
        if name in header:
            values[name] = tensor(name)
        elif module.endswith(".bn") and f"{conv}.bias" in header:
            # Batch normalisation that is folded in is none: (x - 0) / sqrt(1 - e + e) + the bias of the convolution.
            plain = {"weight": torch.ones, "bias": None, "running_mean": torch.zeros, "running_var": lambda n: torch.full((n,), 1 - EPSILON)}
            values[name] = old if part == "num_batches_tracked" else tensor(f"{conv}.bias") if part == "bias" else plain[part](len(old))
        elif part == "num_batches_tracked":
            values[name] = old
        elif part == "running_var":
            values[name] = torch.rand(old.shape, generator=draw) + 0.5
        elif old.dim() == 1:
            values[name] = 1 + 0.2 * torch.randn(old.shape, generator=draw) if part == "weight" else 0.1 * torch.randn(old.shape, generator=draw)
        else:
            values[name] = torch.randn(old.shape, generator=draw) * (2 / old[0].numel()) ** 0.5
    return values


def picture(draw, height, width):
    """Something between noise and a photograph: blobs of many sizes."""
    image = np.zeros((height, width, 3))
    for side in (2, 4, 8, 16, 32):
        noise = Image.fromarray((draw.random((side, side, 3)) * 255).astype(np.uint8))
        image += np.asarray(noise.resize((width, height), Image.BICUBIC), float) * (2 / side) ** 0.5
    return ((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)


def folder(path, count, seed):
    """PNG, PPM, PGM and JPEG files of several sizes and kinds."""
    draw, path = np.random.default_rng(seed), pathlib.Path(path)
    path.mkdir()
    for i in range(count):
        height, width = [(32, 32), (64, 96), (299, 299), (180, 133), (420, 333)][i % 5]
        image = Image.fromarray(picture(draw, height, width))
        kind = i % 10
        if kind == 8:
            image.save(path / f"{i:03}.ppm")
        elif kind == 9:
            image.convert("L").save(path / f"{i:03}.pgm")
        elif kind == 0:
            image.save(path / f"{i:03}.png")
        elif kind == 1:
            image.convert("L").save(path / f"{i:03}.png")
        elif kind == 2:
            image.convert("RGBA").save(path / f"{i:03}.png")
        elif kind == 3:
            image.quantize(64).save(path / f"{i:03}.png")
        elif kind == 4:
            image.convert("L").save(path / f"{i:03}.jpg", quality=85)
        else:
            image.save(path / f"{i:03}.jpg", quality=[75, 90, 95][kind - 5], subsampling=[2, 1, 0][kind - 5])
    return sorted(path.iterdir())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin"), parser.add_argument("weights"), parser.add_argument("--images", type=int, default=24)
    given = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp())

    def run(tool, *words):
        done = subprocess.run([f"{given.bin}/{tool}", *map(str, words), "--quiet"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{tool} {words}: {done.stderr}")
        return json.loads(done.stdout) if "--json" in words else None

    def score(*words):
        return run("fid-score", *words, "--json")

    print(f"{'':58} {'theirs':>14} {'ours':>14} {'differ':>9} {'most':>7}")
    same_features(work, score)
    same_images(work, run, score, given)
    if failed:
        sys.exit(f"too far: {', '.join(failed)}")


def same_features(work, score):
    draw = np.random.default_rng(0)
    mix = draw.standard_normal((96, 96)) / 10
    a = np.maximum(draw.standard_normal((900, 96)) @ mix + 0.3, 0)
    b = np.maximum(draw.standard_normal((900, 96)) @ (mix * 1.1) + 0.4, 0)
    few = b[:700]
    logits = draw.standard_normal((1003, 50)) * 3
    for name, values in (("a", a), ("b", b), ("few", few), ("logits", logits)):
        np.save(work / f"{name}.npy", values)
    tensors = [torch.from_numpy(values) for values in (a, b)]
    ours = score(work / "a.npy", work / "b.npy", "--prdc", "--cmmd")
    moments = [(values.mean(0), np.cov(values, rowvar=False)) for values in (a, b)]
    number("FID, pytorch-fid", pytorch_fid.fid_score.calculate_frechet_distance(*moments[0], *moments[1]), ours["fid"], 1e-5)
    number("FID, clean-fid", cleanfid.fid.frechet_distance(*moments[0], *moments[1]), ours["fid"], 1e-5)
    statistics = [fid_features_to_statistics(values) for values in tensors]
    number("FID, torch-fidelity", fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"], ours["fid"], 1e-5)
    kid = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=900, verbose=False)["kernel_inception_distance_mean"]
    number("KID of all images, torch-fidelity", kid, ours["kid"], 1e-4)
    number("KID of all images, clean-fid", cleanfid.fid.kernel_distance(a, b, num_subsets=1, max_subset_size=900), ours["kid"], 1e-4)
    # Subsets are drawn by chance: over many their mean and deviation are the same within what chance allows.
    drawn = kid_features_to_metric(*tensors, kid_subsets=400, kid_subset_size=100, verbose=False)
    found = score(work / "a.npy", work / "b.npy", "--kid-subsets", 400, "--kid-size", 100)
    mean, deviation = drawn["kernel_inception_distance_mean"], drawn["kernel_inception_distance_std"]
    line("KID over 400 subsets of 100, torch-fidelity", mean, found["kid"], abs(mean - found["kid"]), 4 * deviation * (2 / 400) ** 0.5)
    line("its deviation over subsets", deviation, found["kid_deviation"], abs(deviation / found["kid_deviation"] - 1), 0.15)
    for k in (3, 5):
        for name, second in (("b", b), ("few", few)):
            ours_here = score(work / "a.npy", work / f"{name}.npy", "--prdc", "--neighbours", k)
            with contextlib.redirect_stdout(io.StringIO()):
                prdc = compute_prdc(a, second, nearest_k=k)
            for measure, value in prdc.items():
                # The counts are the same; prdc's density, a mean times 1 / k, may have another last bit.
                number(f"{measure}, {len(second)} images, k = {k}, prdc", value, ours_here[measure], 3e-16 if measure == "density" else 0)
    for splits in (1, 10):
        for shuffle, order in ((True, "shuffled"), (False, "given")):
            isc = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=shuffle)
            found = score("inception-score", work / "logits.npy", "--is-splits", splits, "--is-order", order)
            for end, name in (("mean", "inception_score"), ("std", "inception_score_deviation")):
                number(f"IS {end}, {splits} splits, {order}, torch-fidelity", isc[f"inception_score_{end}"] + 1, found[name] + 1, 1e-6)
    number("CMMD, its definition", cmmd(a, b), ours["cmmd"], 1e-6)
    # Statistics as others write them: in one order and the other, as doubles and as floats.
    for order in "CF":
        for kind, most in ((np.float64, 1e-5), (np.float32, 1e-5)):
            names = ("mu", "sigma", "mu_s", "sigma_s")
            values = [np.asarray(value, kind, order=order) for value in (*moments[0], *moments[1])]
            np.savez_compressed(work / "statistics.npz", **dict(zip(names, values)))
            found = score(work / "statistics.npz", work / "b.npy")
            number(f"FID from {np.dtype(kind)} statistics, order {order}", ours["fid"], found["fid"], most)


def cmmd(x, y):
    """1000 MMD^2 of unit rows, sigma 10: the published code's formula in doubles."""
    x, y = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (x, y))
    kernel = lambda u, v: np.exp(-((u ** 2).sum(1)[:, None] + (v ** 2).sum(1)[None] - 2 * u @ v.T) / 200).mean()
    return 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))


def same_images(work, run, score, given):
    values = state(given.weights, 0)
    torch.save(values, work / "whole.pth")
    run("net-import", work / "whole.pth", "--arch", "inception-v3-fid", "-o", work / "net")
    files = folder(work / "images", given.images, 1)
    pixels = [torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy()).permute(2, 0, 1)[None] for file in files]
    endings = np.array([file.suffix for file in files])
    counts = (64, 192, 768, 2048)

    # torch-fidelity's network, which resizes by itself.
    names = [*map(str, counts), "logits_unbiased"]
    network = FeatureExtractorInceptionV3("inception-v3-compat", names, feature_extractor_weights_path=work / "whole.pth")
    spatial = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda _m, _i, out: spatial.append(out[:, :7].permute(0, 2, 3, 1).flatten(1)))
    tf1 = [torch.cat(each).numpy() for each in zip(*(network(image) for image in pixels))]
    # pytorch-fid's files, transforms and network; its weights would be downloaded.
    theirs.load_state_dict_from_url = lambda *_words, **_more: values
    blocks = [theirs.InceptionV3([theirs.InceptionV3.BLOCK_INDEX_BY_DIM[count]]) for count in counts]
    dims = zip(counts, blocks)
    bilinear = [pytorch_fid.fid_score.get_activations(files, block, 1, count, num_workers=0) for count, block in dims]
    # clean-fid's files and resizing, and the same network without any: its own is a TorchScript that would be downloaded.
    clean = []
    for count in counts:
        block = theirs.InceptionV3([theirs.InceptionV3.BLOCK_INDEX_BY_DIM[count]], resize_input=False, normalize_input=False).eval()
        model = lambda x, block=block: block((x - 128) / 128)[0].mean((2, 3))
        words = dict(num_workers=0, batch_size=8, device="cpu", mode="clean", verbose=False)
        clean.append(cleanfid.fid.get_files_features([str(file) for file in files], model, **words))

    def ours(convention, layer, *more):
        words = ("features", work / "images", "--net", work / "net", "--input", convention, "--layer", layer, *more)
        run("fid-score", *words, "-o", work / "ours.npy", "--force")
        return np.load(work / "ours.npy")

    for convention, found in (("tf1", tf1), ("bilinear", bilinear), ("clean", clean)):
        for count, features in zip(counts, found):
            here = ours(convention, f"features_{count}")
            weights = "" if count < 2048 else ", random weights"
            for kind, which in (("PNG", endings == ".png"), ("PPM", (endings == ".ppm") | (endings == ".pgm")), ("JPEG", endings == ".jpg")):
                rows(f"{convention}, {count} features, {kind}{weights}", features[which], here[which], 1e-3)
    rows("tf1, spatial features of sFID", torch.cat(spatial).numpy(), ours("tf1", "Mixed_6d.branch1x1", "--at-every-place", 7), 1e-3)
    rows("tf1, logits, random weights", tf1[-1], ours("tf1", "logits_unbiased"), 1e-3)
    isc = isc_features_to_metric(torch.from_numpy(tf1[-1]), splits=4)
    found = score("inception-score", work / "images", "--net", work / "net", "--input", "tf1", "--is-splits", 4)
    number("tf1, IS of the images, random weights", isc["inception_score_mean"], found["inception_score"], 1e-3)
    # The second time, features come from the cache; --no-cache computes them again.
    words = (work / "images", work / "images", "--net", work / "net", "--input", "tf1", "--sfid", "--layer", "features_64")
    first, again, anew = score(*words), score(*words), score(*words, "--no-cache")
    number("FID, kept features and new ones", first["fid"] + 1, again["fid"] + 1, 1e-12)
    number("sFID, kept features and none", first["sfid"] + 1, anew["sfid"] + 1, 1e-12)


if __name__ == "__main__":
    main()
