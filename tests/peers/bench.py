"""`just bench`: each job here and in PyTorch, in turn, A B A B ..., on one machine in one run.

    python bench.py [--pairs N] [JOB ...]

Prints the machine's load and refuses to measure above 1.3; then for each job the median seconds of both sides, the median of
the pairwise ratios with its range, and, for the trainings, the share of the machine's matrix-product peak that the
arithmetic alone would need. Last the peak memory of a CelebA step at batch 128 and of a PixelCNN++ update.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JOBS = ["fa_train_mnist", "fa_train_cifar10", "fa_train_celeba", "fa_invert_mnist", "vfa_gan_cifar10", "inception_features", "frechet_2048",
        "fv_googlenet", "ifv_googlenet", "pixelcnn_train_mnist", "pixelcnn_sample_mnist", "forward_resnet18", "gradient_resnet18",
        "forward_mobilenet_v2", "gradient_mobilenet_v2", "forward_vit_s_16", "gradient_vit_s_16"]
MEMORY = {"fa_train_celeba_128": "a CelebA step at batch 128", "pixelcnn_train_mnist": "a PixelCNN++ update"}
# Multiply-adds of one image through the encoder, by convolution and linear layers, times the 9 products of a training
# step (x and r forward, the pullback of r, its derivative twice, x and r backward to inputs and to weights) or the 2 of
# each of 10 inversion steps.
ENCODER = {
    "mnist": 784 * 9 * 32 + 196 * 288 * 32 + 196 * 288 * 64 + 49 * 576 * 64 + 3136 * 4096 + 4096 * 128,
    "cifar10": 1024 * 27 * 32 + 256 * 288 * 32 + 256 * 288 * 64 + 64 * 576 * 64 + 64 * 576 * 128 + 16 * 1152 * 128 + 2048 * 2048 + 2048 * 128,
    "celeba": 4096 * 27 * 32 + 1024 * 288 * 32 + 1024 * 288 * 64 + 256 * 576 * 64 + 256 * 576 * 128 + 64 * 1152 * 128
              + 64 * 1152 * 256 + 16 * 2304 * 256 + 4096 * 4096 + 4096 * 128,
}
# Multiply-adds a pixel of a PixelCNN++ block pair of 64 filters: kernels of 2 x 3 and 2 x 2, 128 to 64 and to 128 channels, skips; and of
# one image, by pixels and blocks on the way up and down at each level.
BLOCK = 128 * (64 + 128) * (6 + 4)
UP, DOWN = BLOCK + 128 * 64, BLOCK + 128 * 64 + 256 * 64
PIXELCNN = 784 * (3 * UP + 4 * DOWN + 64 * 256) + 196 * (3 * UP + 4 * DOWN) + 49 * (3 * UP + 3 * DOWN)
WORK = {
    "pixelcnn_train_mnist": 2 * 3 * 16 * PIXELCNN,
    "pixelcnn_sample_mnist": 2 * 16 * PIXELCNN,
    "inception_features": 2 * 16 * 5.71e9,
    "fa_train_mnist": 2 * 9 * 128 * ENCODER["mnist"],
    "fa_train_cifar10": 2 * 9 * 128 * ENCODER["cifar10"],
    "fa_train_celeba": 2 * 9 * 32 * ENCODER["celeba"],
    "fa_invert_mnist": 2 * 2 * 10 * 256 * ENCODER["mnist"],
    # The encoder's 9 products and 2 for the perceptual loss; generator 3; discriminator 2 for the generator, 6 for itself.
    "vfa_gan_cifar10": 2 * 128 * (19 * ENCODER["cifar10"] + 3 * 1024 * (9 * 4 * 128 + 1152 * 128 + 1152 * 3)),
}


def run(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours_binary():
    """The benchmark that cargo has built, newest first."""
    built = sorted((ROOT / "target/release/deps").glob("peers-*"), key=lambda path: path.stat().st_mtime)
    built = [path for path in built if path.suffix == "" and os.access(path, os.X_OK)]
    return built[-1] if built else sys.exit("cargo has built no benchmark")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"load {load:.2f}, {os.cpu_count()} cores")
    if load > 1.3 and not arguments.anyway:
        sys.exit("the machine is busy: one other process makes either side several times slower; try again when idle")
    ours, peers = [str(ours_binary())], [sys.executable, str(HERE / "peers.py")]
    rounds = ["--rounds", str(arguments.rounds)]
    peak = run([*peers, "--peak"])["gflops"]
    print(f"matrix-product peak {peak:.0f} GFLOP/s")
    print(f"{'job':18} {'ours, s':>9} {'PyTorch, s':>11} {'ratio':>7} {'range':>13} {'of peak':>8}")
    for job in arguments.jobs or JOBS:
        pairs = [(run([*ours, *rounds, job])["seconds"], run([*peers, *rounds, job])["seconds"]) for _ in range(arguments.pairs)]
        ratios = sorted(a / b for a, b in pairs)
        mine = statistics.median(a for a, _ in pairs)
        theirs = statistics.median(b for _, b in pairs)
        share = WORK[job] / 1e9 / peak / mine if job in WORK else float("nan")
        print(f"{job:18} {mine:9.4f} {theirs:11.4f} {statistics.median(ratios):7.3f} {ratios[0]:6.3f}-{ratios[-1]:.3f} {share:8.2f}", flush=True)
    for job, what in MEMORY.items():
        for side, name in ((ours, "ours"), (peers, "PyTorch")):
            line = run([*side, "--rounds", "8", "--memory", job])
            print(f"peak memory of {what}, {name}: {line['peak_mb']:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
