"""The jobs of `just bench` in PyTorch: what a user would run instead.

    python peers.py [--rounds N] [--threads N] [--memory] JOB ...

Prints one JSON line a job: {"job", "seconds" (median of the rounds), "rounds"}; with --memory the process's peak instead.
"""
import argparse, json, math, resource, statistics, time
import torch
import torch.nn as nn

WIDTHS = {28: (32, 64), 32: (32, 64, 128), 64: (32, 64, 128, 256)}


def encoder(channels, side, hidden, latent=128):
    layers, inputs = [], channels
    for width in WIDTHS[side]:
        layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.LeakyReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU()]
        inputs = width
    left = side // 2 ** len(WIDTHS[side])
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * left * left, hidden), nn.LeakyReLU(), nn.Linear(hidden, latent))
    for layer in net:
        if hasattr(layer, "weight"):
            nn.init.orthogonal_(layer.weight)
    return net


def fa_train(channels, side, hidden, batch):
    """One Algorithm 1 step, Z = 128, T = 1, Adam and clamp included."""
    net = encoder(channels, side, hidden)
    optimiser = torch.optim.Adam(net.parameters(), 1e-5)
    x = torch.rand(batch, channels, side, side)

    def step():
        r = torch.rand_like(x, requires_grad=True)
        loss = (net(x) - net(r)).square().sum()
        (gradient,) = torch.autograd.grad(loss, r, create_graph=True)
        cost = (x - (r - gradient)).square().mean()
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        optimiser.step()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.clamp_(-math.sqrt(2), math.sqrt(2))
    return step


def fa_invert_mnist():
    """10 gradient steps on the input, encoder of Table 7, 256 latents."""
    net = encoder(1, 28, 4096).requires_grad_(False)
    z = torch.randn(256, 128)

    def step():
        r = torch.rand(256, 1, 28, 28)
        for _ in range(10):
            r.requires_grad_()
            (gradient,) = torch.autograd.grad((net(r) - z).square().sum(), r)
            r = (r - 0.1 * gradient).detach()
    return step


JOBS = {
    "fa_train_mnist": lambda: fa_train(1, 28, 4096, 128),
    "fa_train_cifar10": lambda: fa_train(3, 32, 2048, 128),
    "fa_train_celeba": lambda: fa_train(3, 64, 4096, 32),
    "fa_train_celeba_128": lambda: fa_train(3, 64, 4096, 128),
    "fa_invert_mnist": fa_invert_mnist,
}


def product_peak():
    """Seconds of a 2048 x 2048 x 2048 product, the best of 10: the machine's peak."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print(json.dumps({"gflops": 2 * 2048**3 / product_peak() / 1e9}))
    for name in arguments.jobs:
        step = JOBS[name]()
        step()
        times = []
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        line = {"job": name, "seconds": statistics.median(times), "rounds": arguments.rounds}
        if arguments.memory:
            line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(line), flush=True)
