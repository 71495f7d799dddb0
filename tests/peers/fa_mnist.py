"""Feature alignment on MNIST in PyTorch: the run that `just mnist fa` is held against.

    python fa_mnist.py MNIST_FOLDER --seed N --epochs N

MNIST_FOLDER holds the idx.gz files. Algorithm 1 with T = 1, tau = 1 on L = 1/2 |z_x - z_r|^2, r0 = 0, a sigmoid after the
step, the encoder of Table 7 with plain Z = 128, Adam 1e-4 with betas (0.5, 0.999), batch 128, weights and biases clamped
to +-sqrt 2, orthogonal initialisation of the weights. Prints one JSON line an epoch: mean squared error a pixel over the
10,000 test images, recovered from their latents alone. Needs torch and numpy.
"""
import argparse, gzip, json, math, pathlib, time
import numpy as np
import torch
import torch.nn as nn


def images(path):
    raw = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16)
    return torch.from_numpy(raw.reshape(-1, 1, 28, 28).astype(np.float32) / 255)


def encoder(latent):
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, 1, 1), nn.LeakyReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.LeakyReLU(),
        nn.Conv2d(32, 64, 3, 1, 1), nn.LeakyReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.LeakyReLU(),
        nn.Flatten(), nn.Linear(3136, 4096), nn.LeakyReLU(), nn.Linear(4096, latent))
    for layer in net:
        if hasattr(layer, "weight"):
            nn.init.orthogonal_(layer.weight)
    return net


def recover(net, z, shape, create_graph):
    r = torch.zeros(shape, requires_grad=True)
    loss = 0.5 * (net(r) - z).square().sum()
    (gradient,) = torch.autograd.grad(loss, r, create_graph=create_graph)
    return torch.sigmoid(r - gradient)


def test_error(net, x):
    total = 0.0
    for part in x.split(1000):
        with torch.no_grad():
            z = net(part)
        total += (recover(net, z, part.shape, False).detach() - part).square().sum().item()
    return total / x.numel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--latent", type=int, default=128)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    train = images(arguments.folder / "train-images-idx3-ubyte.gz")
    test = images(arguments.folder / "t10k-images-idx3-ubyte.gz")
    net = encoder(arguments.latent)
    optimiser = torch.optim.Adam(net.parameters(), 1e-4, (0.5, 0.999))
    start = time.time()
    for epoch in range(1, arguments.epochs + 1):
        for chosen in torch.randperm(len(train)).split(128):
            x = train[chosen]
            loss = 0.5 * (recover(net, net(x), x.shape, True) - x).square().sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.clamp_(-math.sqrt(2), math.sqrt(2))
        print(json.dumps({"seed": arguments.seed, "epoch": epoch, "test_mse": test_error(net, test),
                          "seconds": round(time.time() - start, 1)}), flush=True)
