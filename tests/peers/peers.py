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


def vfa_gan(channels, side, hidden, batch, latent=128, classes=10):
    """One VFA-GAN update as the paper has it (equations 5 to 9): encoder, generator (Table 11, label plane), discriminator
    (Table 10, batch normalisation), least squares, lambda 0.01. Gradients that nobody uses are switched off."""
    body = encoder(channels, side, hidden)[:-1]
    heads = nn.ModuleDict({name: nn.Linear(hidden, size) for name, size in (("mu", latent), ("log_var", latent), ("label", classes))})
    plane = nn.Linear(classes, side * side)
    generator = nn.Sequential(
        nn.Conv2d(channels + 1, 128, 3, 1, 1), nn.LeakyReLU(), nn.BatchNorm2d(128),
        nn.Conv2d(128, 128, 3, 1, 1), nn.LeakyReLU(), nn.BatchNorm2d(128), nn.Conv2d(128, channels, 3, 1, 1), nn.Sigmoid())
    layers, inputs = [], channels
    for width in WIDTHS[side]:
        layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.LeakyReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(), nn.BatchNorm2d(width)]
        inputs = width
    left = side // 2 ** len(WIDTHS[side])
    discriminator = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * left * left, hidden), nn.LeakyReLU(), nn.Linear(hidden, 1))
    of_encoder = [*body.parameters(), *heads.parameters()]
    of_generator = [*generator.parameters(), *plane.parameters()]
    optimisers = [torch.optim.Adam(each, 1e-5) for each in (of_encoder, of_generator, discriminator.parameters())]
    x = torch.rand(batch, channels, side, side)
    labels = torch.eye(classes)[torch.arange(batch) % classes]

    def encode(images):
        hidden = body(images)
        return heads["mu"](hidden), heads["log_var"](hidden), heads["label"](hidden)

    def update(optimiser, loss):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def trainable(parameters, wanted):
        for parameter in parameters:
            parameter.requires_grad_(wanted)

    def step():
        mu, log_var, _ = encode(x)
        z = mu + torch.randn_like(mu) * (0.5 * log_var).exp()
        r = torch.rand_like(x, requires_grad=True)
        mu_r, _, label_r = encode(r)
        inner = 0.5 * (z - mu_r).square().sum() + 0.5 * (labels - label_r).square().sum()
        (gradient,) = torch.autograd.grad(inner, r, create_graph=True)
        recovered = r - gradient
        divergence = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1)
        cost = ((x - recovered).square().sum(dim=(1, 2, 3)) + torch.rand(batch) * divergence).mean()
        update(optimisers[0], cost)
        with torch.no_grad():
            for parameter in of_encoder:
                parameter.clamp_(-math.sqrt(2), math.sqrt(2))
        trainable([*of_encoder, *discriminator.parameters()], False)
        label_plane = plane(labels).view(batch, 1, side, side)
        fake = generator(torch.cat([recovered.detach(), label_plane], 1))
        mu_g, log_var_g, _ = encode(fake)
        perceptual = (mu.detach() - mu_g).square().sum(1) + (log_var.detach().exp() - log_var_g.exp()).square().sum(1)
        update(optimisers[1], ((1 - discriminator(fake)).square().sum(1) + 0.01 * perceptual).mean())
        trainable([*of_encoder, *discriminator.parameters()], True)
        judged = (1 - discriminator(x)).square().mean() + (-1 - discriminator(fake.detach())).square().mean()
        update(optimisers[2], judged)
    return step


def inception_features():
    """Inception-v3 pool features, 16 images of 299 x 299."""
    import torchvision
    net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=True).eval().requires_grad_(False)
    net.fc = nn.Identity()
    x = torch.rand(16, 3, 299, 299)
    return lambda: net(x)


def imagenet(name):
    """An architecture of torchvision's, as feature visualisation has it."""
    import torchvision
    models = torchvision.models
    if name == "vit_s_16":
        net = models.VisionTransformer(image_size=224, patch_size=16, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536)
    else:
        net = getattr(models, name)(weights=None)
    return net.eval().requires_grad_(False)


def forward(name):
    """The scores of 8 images of 224 x 224."""
    net, x = imagenet(name), torch.rand(8, 3, 224, 224)

    def step():
        with torch.no_grad():
            net(x)
    return step


def gradient(name):
    """Ten steps of Adam on the sigmoid pixels of one image of 224 x 224 for a class."""
    net = imagenet(name)

    def step():
        s = torch.zeros(1, 3, 224, 224, requires_grad=True)
        optimiser = torch.optim.Adam([s], 0.05)
        for _ in range(10):
            optimiser.zero_grad()
            (-net(torch.sigmoid(s))[0, 5]).backward()
            optimiser.step()
    return step


def frechet_2048():
    """The Frechet distance from 10,000 x 2,048 features a side as pytorch-fid has it: means, covariances, sqrtm."""
    import numpy as np
    from scipy import linalg
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((2048, 2048)) / 45
    a, b = np.maximum(rng.standard_normal((10000, 2048)) @ mix, 0), np.maximum(rng.standard_normal((10000, 2048)) @ mix + 0.1, 0)

    def step():
        covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        root = linalg.sqrtm(covariances[0] @ covariances[1])
        return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    return step


def googlenet():
    """GoogLeNet up to inception4c."""
    import torchvision
    torch.manual_seed(0)
    net = torchvision.models.googlenet(weights=None, init_weights=True, aux_logits=False).eval().requires_grad_(False)
    parts = "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b inception4c"
    return nn.Sequential(*[getattr(net, part) for part in parts.split()])


def fv_googlenet():
    """Feature visualisation: 10 Adam steps, a channel of GoogLeNet's inception4c, 4 images of 224 x 224, sigmoid pixels."""
    body = googlenet()

    def ascend():
        s = torch.zeros(4, 3, 224, 224, requires_grad=True)
        optimiser = torch.optim.Adam([s], 0.05)
        for _ in range(10):
            optimiser.zero_grad()
            (-body(torch.sigmoid(s))[:, 7].mean()).backward()
            optimiser.step()
    return ascend


def ifv_googlenet():
    """Response, 512 x 150,528 Jacobian and prediction for one image at GoogLeNet's inception4c, 16 backward passes at a time."""
    body = googlenet()

    def respond(s):
        return nn.functional.max_pool2d(body(torch.sigmoid(s)), 3, 2).mean(dim=(2, 3))

    def step():
        s = torch.randn(1, 3, 224, 224)
        f, rows = respond(s)[0], []
        for first in range(0, 512, 16):
            block = s.expand(16, -1, -1, -1).clone().requires_grad_()
            chosen = respond(block)[torch.arange(16), torch.arange(first, first + 16)]
            (gradient,) = torch.autograd.grad(chosen.sum(), block)
            rows.append(gradient.flatten(1))
        jacobian = torch.cat(rows)
        a = 4 * jacobian - 3 * torch.outer(f, f @ jacobian) / (f @ f)
        return torch.linalg.eigh((a @ a.T).double())[1][:, 0]
    return step


def pixelcnn_mnist():
    """The PixelCNN++ of Nash et al. for MNIST: 64 filters, 3 blocks, 256-way softmax, FC3 context 256."""
    from pixelcnn import PixelCNN

    return PixelCNN(1, 64, 3, 256, 256)


def pixelcnn_train_mnist():
    """One training step of 16 images."""
    net = pixelcnn_mnist()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    x, h = torch.randint(0, 256, (16, 1, 28, 28)), torch.randn(16, 256)

    def step():
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(x / 127.5 - 1, h), x[:, 0]).backward()
        optimiser.step()

    return step


def pixelcnn_sample_mnist():
    """16 images: 784 full passes, of which one is timed."""
    net = pixelcnn_mnist().requires_grad_(False)
    x, h = torch.rand(16, 1, 28, 28) * 2 - 1, torch.randn(16, 256)

    def step():
        net(x, h)

    step.times = 784
    return step


JOBS = {
    "ifv_googlenet": ifv_googlenet,
    "pixelcnn_train_mnist": pixelcnn_train_mnist,
    "pixelcnn_sample_mnist": pixelcnn_sample_mnist,
    "inception_features": inception_features,
    "frechet_2048": frechet_2048,
    "fv_googlenet": fv_googlenet,
    **{f"forward_{name}": lambda name=name: forward(name) for name in ("resnet18", "mobilenet_v2", "vit_s_16")},
    **{f"gradient_{name}": lambda name=name: gradient(name) for name in ("resnet18", "mobilenet_v2", "vit_s_16")},
    "vfa_gan_cifar10": lambda: vfa_gan(3, 32, 2048, 128),
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
            times.append((time.perf_counter() - start) * getattr(step, "times", 1))
        line = {"job": name, "seconds": statistics.median(times), "rounds": arguments.rounds}
        if arguments.memory:
            line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(line), flush=True)
