"""Reference cases for the numerics, computed independently of the project with PyTorch, NumPy,
SciPy and scikit-image in float64.

    python make.py --out DIR [--seed N] [--pack] [CASE ...]

Each case is a folder of .npy arrays (C order, little endian) and a case.json that says what the
arrays are, which formula relates them and how close a correct implementation must come. With --pack
it is DIR/CASE.npz instead, a zip of the same files whose bytes are always the same. A CASE that is not
made here, but whose folder is in DIR, is only packed.

Needs: torch numpy scipy scikit-image (any recent version); `just oracle DIR` makes such an environment.
Runs in seconds on a CPU. The seed of the archives beside this file is the default. The tests take the
cases of another seed from the folder that OBVERSE_ORACLE names.
"""
import argparse, json, math, pathlib, shutil, sys, zipfile
import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


def save(out, name, arrays, meta):
    d = out / name
    d.mkdir(parents=True, exist_ok=True)
    for key, value in arrays.items():
        value = value.detach().numpy() if torch.is_tensor(value) else np.asarray(value)
        np.save(d / f"{key}.npy", np.ascontiguousarray(value))
    meta["agreement"] = "element by element, |a - b| <= tolerance * max(1, max |b|)"
    (d / "case.json").write_text(json.dumps(meta, indent=1) + "\n")


def pack(folder):
    """A case's folder becomes an archive: members by name, not compressed, none with a date or an owner."""
    with zipfile.ZipFile(folder.with_name(folder.name + ".npz"), "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, path.read_bytes())
    shutil.rmtree(folder)


def small_encoder(g, latent=6, heads=("z",)):
    """The encoder of the feature-alignment paper's Table 7, shrunk to 1x12x12 inputs."""
    def w(*s):
        return (torch.randn(*s, generator=g) * math.sqrt(1.0 / np.prod(s[1:]))).requires_grad_()
    p = {}
    for i, (o, c) in enumerate([(4, 1), (4, 4), (8, 4), (8, 8)], 1):
        p[f"conv{i}.weight"] = w(o, c, 3, 3)
        p[f"conv{i}.bias"] = (0.1 * torch.randn(o, generator=g)).requires_grad_()
    p["fc1.weight"] = w(32, 72)
    p["fc1.bias"] = (0.1 * torch.randn(32, generator=g)).requires_grad_()
    for h in heads:
        p[f"{h}.weight"] = w(latent, 32)
        p[f"{h}.bias"] = (0.1 * torch.randn(latent, generator=g)).requires_grad_()
    return p


def encode(p, x, slope=0.01, heads=("z",)):
    h = x
    for i, s in zip(range(1, 5), (1, 2, 1, 2)):
        h = F.leaky_relu(F.conv2d(h, p[f"conv{i}.weight"], p[f"conv{i}.bias"], stride=s, padding=1), slope)
    h = F.leaky_relu(F.linear(h.flatten(1), p["fc1.weight"], p["fc1.bias"]), slope)
    out = [F.linear(h, p[f"{k}.weight"], p[f"{k}.bias"]) for k in heads]
    return out[0] if len(out) == 1 else out


def align(z_of, z_target, r, tau, steps):
    for _ in range(steps):
        loss = (z_target - z_of(r)).square().sum()
        (grad,) = torch.autograd.grad(loss, r, create_graph=True)
        r = r - tau * grad
    return r


@case
def fa_step(g, out):
    """One training step of Algorithm 1 (feature alignment), T = 1 and T = 3."""
    p = small_encoder(g)
    x, r0 = torch.rand(5, 1, 12, 12, generator=g), torch.rand(5, 1, 12, 12, generator=g)
    arrays = {"x": x, "r0": r0, **{f"param.{k}": v for k, v in p.items()}}
    for T in (1, 3):
        r = r0.clone().requires_grad_()
        zx = encode(p, x)
        rh = align(lambda r: encode(p, r), zx, r, 0.1, T)
        C = (x - rh).square().sum(dim=(1, 2, 3)).mean()
        grads = torch.autograd.grad(C, list(p.values()))
        arrays |= {f"T{T}.z_x": zx, f"T{T}.r_hat": rh, f"T{T}.C": C,
                   **{f"T{T}.grad.{k}": v for k, v in zip(p, grads)}}
    save(out, "fa_step", arrays, {
        "formula": "L_n = sum_k (z_x - z_r)^2 for each image n; r <- r - tau * dL/dr, T times; "
                   "C = mean over images of sum over pixels (x - r_hat)^2; grad.* = dC/dparam, "
                   "the derivative taken through z_x, z_r and the gradient step (second order)",
        "network": "conv 3x3 pad 1, strides 1 2 1 2, channels 4 4 8 8, LeakyReLU 0.01 after each; "
                   "fc1 (out,in) LeakyReLU; z linear", "tau": 0.1,
        "tolerance": {"float64": 1e-9, "float32": 2e-4}})


@case
def vfa_step(g, out):
    """Variational feature alignment (equations 5 and 6) with a fixed noise draw."""
    p = small_encoder(g, heads=("mu", "log_var"))
    x, r0 = torch.rand(5, 1, 12, 12, generator=g), torch.rand(5, 1, 12, 12, generator=g)
    eps, beta, tau = torch.randn(5, 6, generator=g), torch.rand(5, generator=g), 0.1
    heads = ("mu", "log_var")
    mu, log_var = encode(p, x, heads=heads)
    z = mu + eps * (0.5 * log_var).exp()
    r = r0.clone().requires_grad_()
    rh = align(lambda r: encode(p, r, heads=heads)[0], z, r, tau, 1)
    kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1)
    C = ((x - rh).square().sum(dim=(1, 2, 3)) + beta * kl).mean()
    grads = torch.autograd.grad(C, list(p.values()))
    save(out, "vfa_step", {"x": x, "r0": r0, "eps": eps, "beta": beta, "mu": mu, "log_var": log_var,
                           "z": z, "r_hat": rh, "kl": kl, "C": C,
                           **{f"param.{k}": v for k, v in p.items()},
                           **{f"grad.{k}": v for k, v in zip(p, grads)}}, {
        "formula": "z_x = mu(x) + eps * exp(log_var(x)/2); z_r = mu(r), no noise; one step tau; "
                   "kl_n = -1/2 sum(1 + log_var - mu^2 - exp(log_var)); "
                   "C = mean_n( sum_pixels (x - r_hat)^2 + beta_n * kl_n )", "tau": tau,
        "tolerance": {"float64": 1e-9, "float32": 2e-4}})


@case
def local_step(g, out):
    """Local feature alignment (Algorithm 2) with asinh, and layerwise inversion (Algorithm 3)."""
    shapes = [(4, 1, 1), (4, 4, 2), (8, 4, 1)]
    w = [(torch.randn(o, c, 3, 3, generator=g) / math.sqrt(9 * c)).requires_grad_() for o, c, _ in shapes]
    x0, tau, T = torch.rand(3, 1, 10, 10, generator=g), 0.2, 2
    arrays, x = {"x": x0}, x0
    noise, zs, sizes = [], [], []
    for l, (wl, (_, _, s)) in enumerate(zip(w, shapes)):
        f = lambda v, wl=wl, s=s: F.conv2d(v, wl, stride=s, padding=1)
        r0 = torch.rand(x.shape, generator=g)
        noise.append(r0); sizes.append(x.shape)
        z = f(x)
        r = align(f, z, r0.clone().requires_grad_(), tau, T)
        C = (x - r).square().sum(dim=(1, 2, 3)).mean()
        (grad,) = torch.autograd.grad(C, wl)
        arrays |= {f"layer{l}.weight": wl, f"layer{l}.r0": r0, f"layer{l}.r_hat": r, f"layer{l}.C": C,
                   f"layer{l}.grad": grad}
        zs.append(z.detach())
        x = torch.asinh(z).detach()
    arrays["output"] = x
    back = x
    for l in reversed(range(3)):
        wl, (_, _, s) = w[l], shapes[l]
        target = torch.sinh(back)
        f = lambda v, wl=wl, s=s: F.conv2d(v, wl, stride=s, padding=1)
        back = align(f, target, noise[l].clone().requires_grad_(), tau, T).detach()
        arrays[f"layer{l}.inverted"] = back
    save(out, "local_step", arrays, {
        "formula": "for each layer l: z = conv(x_l), r from layer{l}.r0 by T steps of r <- r - tau d/dr sum(z - conv(r))^2, "
                   "C_l = mean_n sum (x_l - r_hat)^2, grad = dC_l/dweight (x_l constant), x_{l+1} = asinh(z), detached. "
                   "Inversion, last layer first: z = sinh(x_{l+1}), then the same T steps from the same layer{l}.r0",
        "strides": [1, 2, 1], "padding": 1, "tau": tau, "T": T, "tolerance": {"float64": 1e-9, "float32": 2e-4}})


@case
def logistic_mixture(g, out):
    """PixelCNN++ discretised mixture of logistics, RGB, and the 256-way softmax."""
    B, H, W, M = 2, 6, 5, 4
    x = torch.randint(0, 256, (B, 3, H, W), generator=g)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 255
    l = torch.randn(B, 10 * M, H, W, generator=g)
    l[:, 4 * M:] = l[:, 4 * M:] * 0.7
    l[1, 2 * M:, 2, 2] -= 9.0
    l.requires_grad_()
    y = x.double() / 127.5 - 1.0
    logit_probs, rest = l[:, :M], l[:, M:].reshape(B, 3, 3 * M, H, W)
    means, log_s = rest[:, :, :M], rest[:, :, M:2 * M].clamp(min=-7.0)
    coef = torch.tanh(rest[:, :, 2 * M:])
    yy = y.unsqueeze(2)
    m0 = means[:, 0]
    m1 = means[:, 1] + coef[:, 0] * yy[:, 0]
    m2 = means[:, 2] + coef[:, 1] * yy[:, 0] + coef[:, 2] * yy[:, 1]
    mu = torch.stack([m0, m1, m2], 1)
    c = yy - mu
    inv = torch.exp(-log_s)
    plus, minus = inv * (c + 1 / 255), inv * (c - 1 / 255)
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    mid = inv * c
    log_pdf_mid = mid - log_s - 2 * F.softplus(mid)
    inner = torch.where(delta > 1e-5, delta.clamp(min=1e-12).log(), log_pdf_mid - math.log(127.5))
    lp = torch.where(yy < -0.999, plus - F.softplus(plus), torch.where(yy > 0.999, -F.softplus(minus), inner))
    ll = torch.logsumexp(lp.sum(1) + F.log_softmax(logit_probs, 1), 1)
    nll = -ll.sum(dim=(1, 2))
    (grad,) = torch.autograd.grad(nll.sum(), l)
    s = torch.randn(B, 256, H, W, generator=g).requires_grad_()
    xs = x[:, 0]
    nll_s = F.cross_entropy(s, xs, reduction="none").sum(dim=(1, 2))
    (grad_s,) = torch.autograd.grad(nll_s.sum(), s)
    save(out, "logistic_mixture", {"x": x.to(torch.uint8), "params": l, "nll": nll, "grad": grad,
                                   "softmax.x": xs.to(torch.uint8), "softmax.logits": s,
                                   "softmax.nll": nll_s, "softmax.grad": grad_s}, {
        "formula": "x in 0..255 scaled to x/127.5 - 1. params channels: M mixture logits; then, for each colour c = 0,1,2, a "
                   "group of 3M: M means, M log scales (clamped below at -7), M raw coefficients (tanh). group 0's "
                   "coefficients multiply red in green's mean, group 1's red in blue's mean, group 2's green in blue's "
                   "mean. Edge bins 0 and 255 take the open tails; where the bin's mass is below 1e-5 the mid-point density "
                   "times bin width is used. nll in nats per image", "mixtures": M,
        "source": "Salimans et al. 2017, PixelCNN++", "tolerance": {"float64": 1e-8, "float32": 1e-4}})


@case
def pixelcnn(g, out):
    """A whole tiny conditional PixelCNN++: parameters, outputs, gradients, and proof of causality."""
    sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
    from pixelcnn import PixelCNN
    torch.manual_seed(int(torch.randint(1 << 30, (1,), generator=g)))
    net = PixelCNN(channels=3, filters=6, blocks=1, outputs=20, context=5)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=g))
    x = (torch.randint(0, 256, (2, 3, 8, 12), generator=g) / 127.5 - 1).requires_grad_()
    h = torch.randn(2, 5, generator=g).requires_grad_()
    y = net(x, h)
    (gx,) = torch.autograd.grad(y[:, :, 3, 5].sum(), x, retain_graph=True)
    assert gx[:, :, 4:].abs().max() == 0 and gx[:, :, 3, 5:].abs().max() == 0 and gx[:, :, 3, 4].abs().max() > 0
    gy = torch.randn(y.shape, generator=g)
    names, params = zip(*net.named_parameters())
    grads = torch.autograd.grad(y, params + (h,), gy)
    save(out, "pixelcnn", {"x": x, "h": h, "y": y, "grad_y": gy, "grad_h": grads[-1],
                           **{f"param.{k}": v for k, v in zip(names, params)},
                           **{f"grad.{k}": v for k, v in zip(names, grads)}}, {
        "formula": "y = network(x, h) without dropout; grad.* = derivative of sum(y * grad_y). The architecture is the one in "
                   "tests/peers/pixelcnn.py: 1 gated block a level, 6 filters, 20 outputs", "tolerance": {"float64": 1e-9, "float32": 1e-3}})


@case
def spatial_context(g, out):
    """A feature map as condition: resized to each level's maps, 1x1 convolution to biases."""
    h = torch.randn(2, 5, 12, 12, generator=g).requires_grad_()
    arrays = {"h": h}
    for side in (28, 14, 7):
        w = (0.05 * torch.randn(16, 5, 1, 1, generator=g)).requires_grad_()
        b = F.conv2d(F.interpolate(h, size=(side, side), mode="bilinear", align_corners=False), w)
        gy = torch.randn(b.shape, generator=g)
        gh, gw = torch.autograd.grad(b, (h, w), gy)
        arrays |= {f"{side}.weight": w, f"{side}.bias_map": b, f"{side}.grad_y": gy, f"{side}.grad_h": gh, f"{side}.grad_weight": gw}
    save(out, "spatial_context", arrays, {
        "formula": "bias_map = conv1x1(bilinear resize of h to side x side, half-pixel centres, no antialiasing), no bias term; it is added where a "
                   "vector's h W_h is", "tolerance": {"float64": 1e-9, "float32": 1e-4}})


@case
def published_step(g, out):
    """A training step as in the feature-alignment authors' public code: r0 = 0, sigmoid, class head, half sums."""
    heads = ("mu", "log_var", "label")
    p = small_encoder(g, heads=heads)
    x = torch.rand(5, 1, 12, 12, generator=g).clamp(0.01, 0.99)
    labels = F.one_hot(torch.randint(0, 6, (5,), generator=g), 6).double()
    eps, beta = torch.randn(5, 6, generator=g), torch.rand(5, generator=g)
    mu, log_var, _ = encode(p, x, heads=heads)
    z = mu + eps * (0.5 * log_var).exp()
    r = torch.zeros_like(x).requires_grad_()
    mu_r, log_var_r, label_r = encode(p, r, heads=heads)
    z_r = mu_r + (0.5 * log_var_r).exp()
    L = 0.5 * (z - z_r).square().sum() + 0.5 * (labels - label_r).square().sum()
    (grad,) = torch.autograd.grad(L, r, create_graph=True)
    rh = torch.sigmoid(r - grad)
    kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1)
    C = 0.5 * (x - rh).square().sum() + (beta * kl).sum()
    grads = torch.autograd.grad(C, list(p.values()), allow_unused=True)
    save(out, "published_step", {"x": x, "labels": labels, "eps": eps, "beta": beta, "mu": mu, "log_var": log_var, "r_hat": rh, "C": C,
                                 **{f"param.{k}": v for k, v in p.items()},
                                 **{f"grad.{k}": v for k, v in zip(p, grads) if v is not None}}, {
        "formula": "z = mu + eps exp(log_var/2) of x; at r = 0: z_r = mu + exp(log_var/2), label_r = linear head; L = 1/2 sum (z - z_r)^2 + 1/2 sum "
                   "(labels - label_r)^2 over the batch; r_hat = sigmoid(0 - dL/dr); C = 1/2 sum (x - r_hat)^2 + sum_n beta_n kl_n (sums over the batch). "
                   "The class head is trained only through L", "tolerance": {"float64": 1e-9, "float32": 2e-4}})


@case
def gan_losses(g, out):
    """Equations 6 to 8 and the Wasserstein variant, as functions of the networks' outputs, with gradients."""
    d_real, d_fake = (torch.randn(6, 1, generator=g).requires_grad_() for _ in range(2))
    mu_x, var_x = torch.randn(6, 4, generator=g), torch.rand(6, 4, generator=g)
    mu_g, var_g = (torch.randn(6, 4, generator=g).requires_grad_(), torch.rand(6, 4, generator=g).requires_grad_())
    lam = 0.01
    LD = ((1 - d_real).square() + (-1 - d_fake).square()).sum(1).mean()
    LG = ((1 - d_fake).square().sum(1) + lam * ((mu_x - mu_g).square().sum(1) + (var_x - var_g).square().sum(1))).mean()
    gd = torch.autograd.grad(LD, (d_real, d_fake))
    gg = torch.autograd.grad(LG, (d_fake, mu_g, var_g))
    wc, wg = (d_fake - d_real).mean(), -d_fake.mean()
    save(out, "gan_losses", {"d_real": d_real, "d_fake": d_fake, "mu_x": mu_x, "var_x": var_x, "mu_g": mu_g, "var_g": var_g,
                             "L_D": LD, "L_G": LG, "L_D.grad_real": gd[0], "L_D.grad_fake": gd[1],
                             "L_G.grad_fake": gg[0], "L_G.grad_mu": gg[1], "L_G.grad_var": gg[2], "critic": wc, "critic_generator": wg}, {
        "formula": "L_D = mean_n (1 - D(x))^2 + (-1 - D(G))^2; L_G = mean_n (1 - D(G))^2 + lambda (|mu(x) - mu(G)|^2 + |sigma^2(x) - sigma^2(G)|^2); "
                   "critic = mean D(G) - mean D(x), critic_generator = -mean D(G)", "lambda": lam, "tolerance": {"float64": 1e-10, "float32": 1e-5}})


@case
def logistic_mixture_gray(g, out):
    """Discretised mixture of logistics for one channel."""
    B, H, W, M = 3, 5, 4, 3
    x = torch.randint(0, 256, (B, 1, H, W), generator=g)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 255
    l = torch.randn(B, 3 * M, H, W, generator=g).requires_grad_()
    y = x.double() / 127.5 - 1
    mu, ls = l[:, M:2 * M], l[:, 2 * M:].clamp(min=-7.0)
    inv, c = torch.exp(-ls), y - mu
    plus, minus, mid = inv * (c + 1 / 255), inv * (c - 1 / 255), inv * c
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    inner = torch.where(delta > 1e-5, delta.clamp(min=1e-12).log(), mid - ls - 2 * F.softplus(mid) - math.log(127.5))
    lp = torch.where(y < -0.999, plus - F.softplus(plus), torch.where(y > 0.999, -F.softplus(minus), inner))
    nll = -torch.logsumexp(lp + F.log_softmax(l[:, :M], 1), 1).sum(dim=(1, 2))
    (grad,) = torch.autograd.grad(nll.sum(), l)
    save(out, "logistic_mixture_gray", {"x": x.to(torch.uint8), "params": l, "nll": nll, "grad": grad}, {
        "formula": "as logistic_mixture, one channel: M mixture logits, M means, M log scales", "mixtures": M,
        "tolerance": {"float64": 1e-8, "float32": 1e-4}})


@case
def critical_space(g, out):
    """Algorithm 1 of Grad-IFV on Jacobians with a known common co-kernel of two dimensions."""
    n, d, count = 10, 60, 8
    common, _ = torch.linalg.qr(torch.randn(n, 2, generator=g))
    keep = torch.eye(n) - common @ common.T
    J = torch.stack([keep @ torch.randn(n, d, generator=g) + 1e-3 * torch.randn(n, d, generator=g) for _ in range(count)])
    save(out, "critical_space", {"jacobians": J, "co_kernel": common, "critical_projector": keep}, {
        "formula": "each Jacobian = (I - K K^T) R + 1e-3 noise, K of orthonormal columns. Thresholds between the noise and the signal must give a "
                   "critical space of dimension 8 whose projector is within the tolerance (spectral norm) of critical_projector; it is the only "
                   "proper dimension that nested intervals find", "dimension": 8, "tolerance": {"spectral_norm": 2e-3}})


@case
def frechet(g, out):
    """Frechet distance between Gaussians fitted to feature sets; full rank and rank deficient."""
    arrays, meta = {}, {}
    for name, n, d in (("full", 400, 24), ("deficient", 20, 48)):
        a = torch.randn(n, d, generator=g) @ torch.randn(d, d, generator=g) / math.sqrt(d) + 0.3
        b = torch.randn(n + 7, d, generator=g) @ torch.randn(d, d, generator=g) / math.sqrt(d)
        m1, m2, c1, c2 = a.mean(0), b.mean(0), torch.cov(a.T), torch.cov(b.T)
        w, v = torch.linalg.eigh(c1)
        r1 = v @ torch.diag(w.clamp(min=0).sqrt()) @ v.T
        cross = torch.linalg.eigvalsh(r1 @ c2 @ r1).clamp(min=0).sqrt().sum()
        fid = (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross
        poly = lambda u, v: (u @ v.T / d + 1) ** 3
        kxx, kyy, kxy = poly(a, a), poly(b, b), poly(a, b)
        kid = (kxx.sum() - kxx.trace()) / (n * (n - 1)) + (kyy.sum() - kyy.trace()) / ((n + 7) * (n + 6)) - 2 * kxy.mean()
        arrays |= {f"{name}.a": a, f"{name}.b": b}
        meta[name] = {"fid": fid.item(), "kid": kid.item()}
    save(out, "frechet", arrays, {
        "formula": "fid = |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), C unbiased (n - 1); "
                   "kid = unbiased MMD^2 over all samples, kernel (u.v/d + 1)^3", "expected": meta,
        "tolerance": {"relative": 1e-6}})


@case
def ifv(g, out):
    """Grad-IFV on a small network: Jacobian, gradient matrix, prediction with and without critical space."""
    n, d, kappa = 12, 3 * 10 * 10, 3
    w1, w2 = torch.randn(8, 3, 3, 3, generator=g) / 4, torch.randn(n, 8, 3, 3, generator=g) / 6
    b1 = 0.1 * torch.randn(8, generator=g)

    def response(s):
        h = F.softplus(F.conv2d(torch.sigmoid(s).reshape(1, 3, 10, 10), w1, b1))
        h = F.conv2d(h, w2)
        return F.max_pool2d(h, 3, 2).mean(dim=(2, 3))[0]

    target = torch.rand(n, generator=g) ** 3
    target = target / target.norm()

    def objective(s, w):
        f = response(s)
        dot = f @ w
        return dot * (dot / f.norm()).abs() ** kappa

    s = torch.randn(d, generator=g).requires_grad_()
    start = s.detach().clone()
    for _ in range(30):
        (grad,) = torch.autograd.grad(objective(s, target), s)
        s = (s + 0.5 * grad / grad.norm()).detach().requires_grad_()
    s2 = s.detach()
    J = torch.autograd.functional.jacobian(response, s2)            # n x d
    f = response(s2)
    # gradient of dot * cos^k in s is, up to the factor cos^k, w^T A with A = ((k + 1) I - k f f^T / |f|^2) J
    A = ((kappa + 1) * torch.eye(n) - kappa * torch.outer(f, f) / (f @ f)) @ J
    u, sv, _ = torch.linalg.svd(A, full_matrices=False)
    pred = u[:, -1] * torch.sign(u[:, -1] @ f)
    w = target / target.norm()
    grad_obj = torch.autograd.functional.jacobian(lambda v: objective(v, w), s2)
    cos = (w @ f) / f.norm()
    check = (grad_obj - (cos.abs() ** kappa) * (w @ A)).norm() / grad_obj.norm()
    assert check < 1e-9 and sv[-1] < 0.8 * sv[-2], (check, sv)
    basis, _ = torch.linalg.qr(torch.randn(n, 8, generator=g))
    uu, _, _ = torch.linalg.svd(basis.T @ A, full_matrices=False)
    pred_c = basis @ uu[:, -1]
    pred_c = pred_c * torch.sign(pred_c @ f)
    save(out, "ifv", {"w1": w1, "b1": b1, "w2": w2, "start": start, "s": s2, "target": w, "f": f, "J": J, "A": A, "singular_values": sv,
                      "predicted": pred, "critical_basis": basis, "predicted_critical": pred_c}, {
        "formula": "psi_w(s) = (w.f) * |cos(w, f)|^kappa with f = response(s) = mean(maxpool3/2(conv(softplus(conv(sigmoid(s)) + b1)))) "
                   "(valid convolutions). grad_s psi = cos^kappa * w^T A, A = ((kappa+1) I - kappa f f^T/|f|^2) J. "
                   "predicted = left singular vector of A for its smallest singular value, signed so that predicted.f > 0; "
                   "with a critical space of basis Q (columns): Q times the same vector of Q^T A",
        "kappa": kappa, "angle_degrees": math.degrees(math.acos(min(1.0, (pred @ w).item()))),
        "tolerance": {"angle_to_predicted_degrees": {"float64": 1e-4, "float32": 0.05}}})


@case
def fourier_image(g, out):
    """Fourier and decorrelated colour parameterisations of an image, as in Lucid."""
    B, H, W = 2, 9, 8
    fy = np.fft.fftfreq(H)[:, None]
    fx = np.fft.fftfreq(W)[: W // 2 + 1]
    freqs = torch.from_numpy(np.sqrt(fx * fx + fy * fy))
    scale = 1.0 / freqs.clamp(min=1.0 / max(H, W))
    scale = scale * math.sqrt(W * H)
    spec = 0.01 * torch.randn(B, 3, H, W // 2 + 1, 2, generator=g)
    z = torch.complex(spec[..., 0], spec[..., 1]) * scale
    img = torch.fft.irfft2(z, s=(H, W)) / 4.0
    svd = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    m = svd / svd.norm(dim=0).max()
    decor = torch.einsum("bchw,dc->bdhw", img, m)
    plain = torch.fft.irfft2(torch.complex(spec[..., 0], spec[..., 1]), s=(H, W), norm="ortho")
    save(out, "fourier_image", {"spectrum": spec, "scaled": img, "decorrelated": torch.sigmoid(decor),
                                "unscaled": plain, "color_matrix": m}, {
        "formula": "spectrum[...,0] + i spectrum[...,1], half spectrum along width. scaled = irfft2(spectrum * "
                   "sqrt(H W) / max(freq, 1/max(H,W))) / 4; decorrelated = sigmoid(color_matrix . scaled); "
                   "unscaled = irfft2 with orthonormal scaling, no frequency weights",
        "tolerance": {"float64": 1e-10, "float32": 1e-5}})


@case
def similarity(g, out):
    """SSIM (Gaussian window 11, sigma 1.5) and mean squared error between image pairs."""
    from skimage.metrics import structural_similarity
    a = torch.rand(3, 3, 24, 20, generator=g)
    b = (a + torch.tensor([0.05, 0.2, 0.6]).view(3, 1, 1, 1) * torch.randn(3, 3, 24, 20, generator=g)).clamp(0, 1)
    v = [structural_similarity(x.numpy(), y.numpy(), channel_axis=0, data_range=1.0, gaussian_weights=True,
                               sigma=1.5, use_sample_covariance=False) for x, y in zip(a, b)]
    save(out, "similarity", {"a": a, "b": b, "ssim": np.array(v)}, {
        "formula": "Wang et al. 2004: Gaussian weights sigma 1.5, 11x11, K1 0.01, K2 0.03, data range 1, mean over the "
                   "valid interior and channels", "tolerance": {"float64": 1e-6, "float32": 1e-4}})


@case
def information(g, out):
    """Entropy and mutual-information estimators of the inversion paper's Appendix B and of Kolchinsky & Tracey."""
    from scipy.special import digamma, gammaln
    from scipy.spatial import cKDTree
    n, d, k, var = 300, 3, 5, 0.1
    h = torch.randn(n, d, generator=g) @ torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 0.5]])
    hn = h.numpy()
    # Kozachenko-Leonenko with the Euclidean norm
    dist = cKDTree(hn).query(hn, k + 1)[0][:, -1]
    kl = d * np.log(dist).mean() + d / 2 * math.log(math.pi) - gammaln(d / 2 + 1) + digamma(n) - digamma(k)
    sq = torch.cdist(h, h).square()
    upper = -(torch.logsumexp(-sq / (2 * var), 1) - math.log(n)).mean()          # KL-distance kernel bound
    lower = -(torch.logsumexp(-sq / (8 * var), 1) - math.log(n)).mean()          # Bhattacharyya bound
    bins = np.floor((np.tanh(hn) + 1) / 2 * 30).clip(0, 29).astype(np.int64)
    _, counts = np.unique(bins, axis=0, return_counts=True)
    q = counts / n
    save(out, "information", {"h": h}, {
        "expected": {"kozachenko_leonenko_nats": float(kl), "kde_upper_nats": upper.item(), "kde_lower_nats": lower.item(),
                     "binned_nats": float(-(q * np.log(q)).sum())},
        "k": k, "noise_variance": var, "bins": 30,
        "formula": "kozachenko_leonenko: entropy of h from the distance r_i to the k-th neighbour (self excluded), equation 13-14 "
                   "with eps = 0. kde_upper/lower: mutual information I(h + noise; x) for a deterministic h and Gaussian noise "
                   "of that variance: -mean_i log mean_j exp(-|h_i - h_j|^2 / (2 var)), and with 8 var. binned: entropy of tanh(h) in 30 "
                   "equal bins a unit over [-1, 1]", "tolerance": {"float64": 1e-9, "float32": 1e-4}})


@case
def subspaces(g, out):
    """Merging two subspaces: principal angles and the interpolated basis of Algorithm 1 (Grad-IFV)."""
    from scipy.linalg import subspace_angles
    n = 10
    common = torch.randn(n, 3, generator=g)
    a, _ = torch.linalg.qr(torch.cat([common + 0.02 * torch.randn(n, 3, generator=g), torch.randn(n, 2, generator=g)], 1))
    b, _ = torch.linalg.qr(torch.cat([common + 0.02 * torch.randn(n, 3, generator=g), torch.randn(n, 1, generator=g)], 1))
    angles = np.sort(subspace_angles(a.numpy(), b.numpy()))
    u, c, vt = torch.linalg.svd(a.T @ b, full_matrices=False)
    c = c.clamp(max=1.0)
    th = torch.arccos(c)
    keep = th < math.pi / 4
    t = 0.25
    va, vb = (a @ u)[:, keep], (b @ vt.T)[:, keep]
    thk = th[keep]
    merged = va * (torch.sin((1 - t) * thk) / torch.sin(thk)) + vb * (torch.sin(t * thk) / torch.sin(thk))
    proj = merged @ torch.linalg.pinv(merged)
    save(out, "subspaces", {"a": a, "b": b, "angles": angles, "merged": merged, "merged_projector": proj}, {
        "formula": "principal angles between the column spaces of a and b (radians, ascending); pairs of principal vectors with "
                   "an angle below 45 degrees are merged by spherical interpolation, t = 0.25 from a to b. Compare merged_projector "
                   "(the basis itself is unique only up to sign and rotation of equal angles)", "t": t,
        "tolerance": {"float64": 1e-8, "float32": 1e-3}})


@case
def ops(g, out):
    """Forward values and gradients of the layer operations, for odd shapes and strides."""
    arrays, meta = {}, {}

    def rec(name, fn, attrs, **ts):
        ts = {k: v.requires_grad_() for k, v in ts.items()}
        y = fn(**ts)
        gy = torch.randn(y.shape, generator=g)
        gr = torch.autograd.grad(y, list(ts.values()), gy)
        arrays.update({f"{name}.{k}": v for k, v in ts.items()})
        arrays.update({f"{name}.y": y, f"{name}.grad_y": gy})
        arrays.update({f"{name}.grad_{k}": v for k, v in zip(ts, gr)})
        meta[name] = attrs

    R = lambda *s: torch.randn(*s, generator=g)
    for name, k, s, p, dl, gr in (("conv_a", 3, 1, 1, 1, 1), ("conv_b", 3, 2, 1, 1, 1), ("conv_c", 5, 2, 0, 1, 1),
                                  ("conv_d", 1, 1, 0, 1, 1), ("conv_e", 3, 1, 2, 2, 1), ("conv_f", 7, 2, 3, 1, 1), ("conv_g", 3, 1, 1, 1, 2)):
        rec(name, lambda x, weight, bias: F.conv2d(x, weight, bias, s, p, dl, gr),
            {"op": "conv2d", "stride": s, "padding": p, "dilation": dl, "groups": gr},
            x=R(2, 4, 11, 9), weight=R(6, 4 // gr, k, k), bias=R(6))
    rec("conv_asym", lambda x, weight, bias: F.conv2d(F.pad(x, (1, 0, 2, 0)), weight, bias),
        {"op": "conv2d", "kernel": [3, 2], "padding": {"top": 2, "bottom": 0, "left": 1, "right": 0}},
        x=R(2, 3, 7, 6), weight=R(4, 3, 3, 2), bias=R(4))
    for name, s, p, op in (("convt_a", 2, 1, 1), ("convt_b", 1, 1, 0), ("convt_c", 2, 0, 0)):
        rec(name, lambda x, weight, bias: F.conv_transpose2d(x, weight, bias, s, p, op),
            {"op": "conv_transpose2d", "stride": s, "padding": p, "output_padding": op},
            x=R(2, 4, 5, 6), weight=R(4, 3, 3, 3), bias=R(3))
    rec("linear", lambda x, weight, bias: F.linear(x, weight, bias), {"op": "linear"}, x=R(3, 7), weight=R(5, 7), bias=R(5))
    for name, k, s, p in (("maxpool_a", 2, 2, 0), ("maxpool_b", 3, 2, 1), ("maxpool_c", 3, 1, 1)):
        rec(name, lambda x: F.max_pool2d(x, k, s, p), {"op": "max_pool2d", "kernel": k, "stride": s, "padding": p}, x=R(2, 3, 9, 8))
    rec("maxpool_ceil", lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True), {"op": "max_pool2d", "kernel": 3, "stride": 2, "padding": 0, "ceil_mode": True}, x=R(2, 3, 8, 8))
    rec("avgpool_a", lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), {"op": "avg_pool2d", "kernel": 3, "stride": 1, "padding": 1, "count_include_pad": False}, x=R(2, 3, 7, 7))
    rec("avgpool_b", lambda x: F.avg_pool2d(x, 2, 2), {"op": "avg_pool2d", "kernel": 2, "stride": 2, "padding": 0}, x=R(2, 3, 8, 6))
    for name, fn in (("leaky_relu", lambda x: F.leaky_relu(x, 0.01)), ("relu", F.relu), ("asinh", torch.asinh), ("sigmoid", torch.sigmoid),
                     ("tanh", torch.tanh), ("elu", F.elu), ("softplus", F.softplus)):
        rec(name, lambda x, fn=fn: fn(x), {"op": name}, x=R(2, 3, 4, 5))
    rec("concat_elu", lambda x: F.elu(torch.cat([x, -x], 1)), {"op": "concat_elu"}, x=R(2, 3, 4, 5))
    rec("batch_norm", lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5), {"op": "batch_norm, training statistics", "eps": 1e-5}, x=R(4, 3, 5, 5), weight=R(3), bias=R(3))
    rec("weight_norm", lambda x, v, gain, bias: F.conv2d(x, gain.view(-1, 1, 1, 1) * v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1), bias, padding=1),
        {"op": "weight-normalised conv2d, padding 1"}, x=R(2, 3, 6, 6), v=R(4, 3, 3, 3), gain=R(4), bias=R(4))
    rec("upsample_nearest", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), {"op": "upsample nearest x2"}, x=R(2, 3, 4, 5))
    rec("upsample_bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), {"op": "upsample bilinear x2, half-pixel centres"}, x=R(2, 3, 4, 5))
    rec("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([1, 0, 3])).reshape(1), {"op": "mean softmax cross entropy, labels 1 0 3"}, x=R(3, 4))
    save(out, "ops", arrays, {"cases": meta, "formula": "y = op(inputs); grad_* = derivative of sum(y * grad_y). Layout NCHW; conv weight "
                              "(out, in/groups, kh, kw); conv_transpose weight (in, out, kh, kw); linear weight (out, in)",
                              "tolerance": {"float64": 1e-9, "float32": 1e-4}})


@case
def reverse_net(g, out):
    """Arora, Liang & Ma: a random one-layer ReLU net with dropout generates x from sparse h; W^T with a shifted ReLU recovers h."""
    n, m, k, alpha = 200, 1500, 5, 1.0
    W = torch.randn(m, n, generator=g)
    h = torch.zeros(6, n)
    for row in h:
        row[torch.randperm(n, generator=g)[:k]] = torch.rand(k, generator=g) + 0.5
    drop = (torch.rand(6, m, generator=g) < 0.5).double()
    x = F.relu(alpha * h @ W.T) * drop
    scale = 2.0 / (alpha * 0.5 * m)
    lin = scale * x @ W
    eps = (lin - h).abs().max(1, keepdim=True).values
    rec = F.relu(lin - eps)
    save(out, "reverse_net", {"W": W.to(torch.float32), "h": h, "drop": drop.to(torch.uint8), "x": x.to(torch.float32), "linear": lin}, {
        "formula": "x = relu(alpha W h) * drop, drop kept with p = 1/2; linear = (2 / (alpha p m)) W^T x estimates h "
                   "(each unit of x is active for half of the Gaussian rows)", "alpha": alpha, "p": 0.5,
        "max_abs_error": eps.max().item(), "relative_l2_error": ((rec - h).norm(dim=1) / h.norm(dim=1)).mean().item(),
        "tolerance": {"float32": 1e-4}})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--pack", action="store_true")
    args = parser.parse_args()
    for name in args.cases or CASES:
        if name in CASES:
            CASES[name](torch.Generator().manual_seed(args.seed), args.out)
        elif not (args.pack and (args.out / name).is_dir()):
            sys.exit(f"{name}: no case; there are {' '.join(CASES)}")
        if args.pack:
            pack(args.out / name)
        print(name)


if __name__ == "__main__":
    main()
