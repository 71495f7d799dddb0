//! The jobs of the peers' comparison, timed: `cargo bench --workspace --bench peers -- [--rounds N] [--memory] [JOB ...]`.
//!
//! Prints one JSON line a job, as the peers' script does; `just bench` alternates the two. With `--memory` also the peak of
//! the process, and how much it still grew in the second half of the rounds.

use std::str::FromStr;
use std::time::Instant;

use faer::{Mat, MatRef};
use obverse::alignment::adversarial::{Adversary, Round};
use obverse::alignment::local::Chain;
use obverse::alignment::recovery::{Aim, Recovery};
use obverse::alignment::settings::{Settings, Start};
use obverse::alignment::step::{AimWeights, Draw, Examples, Heads, Objective, step};
use obverse::alignment::training::one_hot;
use obverse::density::sampling::{Draws, sample};
use obverse::density::{self, Architecture, Condition, Likelihood, PixelCnn};
use obverse::fidelity::frechet::frechet;
use obverse::fidelity::moments::Moments;
use obverse::ifv::jacobian::{BLOCK, Response};
use obverse::ifv::prediction::predict;
use obverse::ifv::subspace::Subspace;
use obverse::net::architectures::{discriminator, encoder, generator, local_encoder};
use obverse::net::import::googlenet::googlenet;
use obverse::net::import::pretrained::of_name;
use obverse::net::{Initialisation, InputSpec, Mode, Network, Size, inception};
use obverse::objective::aggregation::Aggregation;
use obverse::objective::expression::Expression;
use obverse::objective::parameterisation::{Colours, Pixels, Squashed};
use obverse::objective::resolved::{Comparison, Objective as Target};
use obverse::objective::transform::Transforms;
use obverse::ops::InputGradient;
use obverse::tensor::memory::{MiMalloc, keep_pages};
use obverse::tensor::random::Stream;
use obverse::tensor::{Tape, backward, batch, gradient_there, zeros};
use obverse::train::adam::{Adam, AdamSettings};
use obverse::visualisation::ascent::{Ascent, Optimiser, Settings as AscentSettings};
use rayon::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Job = (&'static str, fn() -> Box<dyn FnMut()>);

const JOBS: [Job; 19] = [
    ("fa_train_mnist", || fa_train("mnist", Size::new(1, 28, 28), 128)),
    ("fa_train_cifar10", || fa_train("cifar10", Size::new(3, 32, 32), 128)),
    ("fa_train_celeba", || fa_train("celeba", Size::new(3, 64, 64), 32)),
    ("fa_train_celeba_128", || fa_train("celeba", Size::new(3, 64, 64), 128)),
    ("fa_local_celeba_128", || fa_local("celeba", Size::new(3, 64, 64), 128)),
    ("fa_invert_mnist", fa_invert_mnist),
    ("inception_features", inception_features),
    ("frechet_2048", frechet_2048),
    ("fv_googlenet", fv_googlenet),
    ("ifv_googlenet", ifv_googlenet),
    ("pixelcnn_train_mnist", pixelcnn_train_mnist),
    ("pixelcnn_sample_mnist", pixelcnn_sample_mnist),
    ("forward_resnet18", || forward("resnet18")),
    ("gradient_resnet18", || class_gradient("resnet18")),
    ("forward_mobilenet_v2", || forward("mobilenet_v2")),
    ("gradient_mobilenet_v2", || class_gradient("mobilenet_v2")),
    ("forward_vit_s_16", || forward("timm.vit_small_patch16_224")),
    ("gradient_vit_s_16", || class_gradient("timm.vit_small_patch16_224")),
    ("vfa_gan_cifar10", || vfa_gan("cifar10", Size::new(3, 32, 32), 128)),
];

/// The 2,048 features of 16 images of 3 x 299 x 299.
fn inception_features() -> Box<dyn FnMut()> {
    let graph = made(inception::graph(2048));
    let output = inception::output(2048);
    let network = made(Network::<f32>::initialised(graph, Initialisation::He, 0).only(&[&output]));
    let shape = (16, inception::SIDE, inception::SIDE, 3);
    let x = batch(Stream::new(0, "x", 0).uniform(0..16 * inception::SIDE * inception::SIDE * 3), shape);
    Box::new(move || {
        std::hint::black_box(network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted));
    })
}

/// A network of an architecture, of random weights, ready to be run.
fn imagenet(name: &str) -> Network<f32> {
    let graph = of_name(name).and_then(|architecture| architecture.graph());
    let graph = made(made(graph.ok_or(format!("no graph of {name} is kept"))));
    let logits = graph.outputs["logits"].clone();
    made(Network::<f32>::initialised(graph, Initialisation::He, 0).folded(&[&logits]))
}

/// The scores of 8 images of 3 x 224 x 224.
fn forward(name: &str) -> Box<dyn FnMut()> {
    let network = imagenet(name);
    let shape = (8, 224, 224, 3);
    let x = batch(Stream::new(0, "x", 0).uniform(0..8 * 224 * 224 * 3), shape);
    Box::new(move || {
        std::hint::black_box(network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted));
    })
}

/// Ten Adam steps on the sigmoid pixels of one image of 3 x 224 x 224 for a class.
fn class_gradient(name: &str) -> Box<dyn FnMut()> {
    let network = imagenet(name);
    let node = network.graph().outputs["logits"].clone();
    ascending(network, &format!("channel:{node}:5"), 1)
}

/// Ten Adam steps on the sigmoid pixels of 4 images of 3 x 224 x 224 for a channel of inception4c.
fn fv_googlenet() -> Box<dyn FnMut()> {
    let graph = made(googlenet(1000, InputSpec::plain(Size::new(3, 224, 224))));
    let network = made(Network::<f32>::initialised(graph, Initialisation::He, 0).folded(&["inception4c"]));
    ascending(network, "channel:inception4c:7", 4)
}

/// Ten Adam steps on the sigmoid pixels of so many images for an objective.
fn ascending(network: Network<f32>, objective: &str, count: usize) -> Box<dyn FnMut()> {
    let size = network.graph().input.shape;
    let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
    let objective = made(Expression::from_str(objective));
    let objective = made(Target::new(&objective, network.graph(), count, comparison));
    let parameterisation = made(Squashed::new::<f32>(Pixels(size), Colours::Plain));
    let plain = made(Transforms::default().between(size, size));
    let optimiser = Optimiser::Adam { learning_rate: 0.05 };
    let settings = AscentSettings { steps: 10, optimiser, redirected: 0, polish: 0, tolerance: 0.0 };
    Box::new(move || {
        let ascent = Ascent {
            network: &network,
            parameterisation: &parameterisation,
            transforms: &plain,
            plain: &plain,
            objective: &objective,
            settings,
            seed: 0,
        };
        let mut state = ascent.start((0..count).collect());
        for _ in 0..settings.steps {
            made(ascent.step(&mut state));
        }
    })
}

/// Response, 512 x 150,528 Jacobian and prediction for one image at GoogLeNet's inception4c.
fn ifv_googlenet() -> Box<dyn FnMut()> {
    let size = Size::new(3, 224, 224);
    let graph = made(googlenet(1000, InputSpec::plain(size)));
    let network = made(Network::<f32>::initialised(graph, Initialisation::He, 0).folded(&["inception4c"]));
    let pixels = made(Squashed::new::<f32>(Pixels(size), Colours::Plain));
    let mut round = 0;
    Box::new(move || {
        round += 1;
        let s = batch(Stream::new(0, "s", round).normal(0..size.elements()), (1, 1, 1, size.elements()));
        let response = made(Response::new(&network, &pixels, "inception4c", Aggregation::USUAL, None));
        let at = made(made(response.jacobian(&s, BLOCK)).reduced());
        std::hint::black_box(made(predict(&at, 3, &Subspace::whole(at.features()))));
    })
}

/// The Fréchet distance of 10,000 x 2,048 features a side, means and covariances included.
fn frechet_2048() -> Box<dyn FnMut()> {
    let (count, dimension) = (10_000, 2048);
    let normal = |purpose: &str, count: usize| -> Vec<f64> { Stream::new(0, purpose, 0).normal(0..count) };
    let mix: Vec<f64> = normal("mix", dimension * dimension).into_iter().map(|value| value / 45.0).collect();
    let side = |purpose: &str, shift: f64| -> Vec<f64> {
        let rows = Mat::from_fn(count, dimension, {
            let rows = normal(purpose, count * dimension);
            move |i, j| rows[i * dimension + j]
        });
        let mixed = rows * MatRef::from_row_major_slice(&mix, dimension, dimension);
        (0..count * dimension).map(|k| (mixed[(k / dimension, k % dimension)] + shift).max(0.0)).collect()
    };
    let (a, b) = (side("a", 0.0), side("b", 0.1));
    Box::new(move || {
        std::hint::black_box(made(frechet(&Moments::of(&a, dimension), &Moments::of(&b, dimension))));
    })
}

/// One Algorithm 1 step, T = 1, Adam and clamp included, as the preset `paper` takes it.
fn fa_train(name: &str, size: Size, images: usize) -> Box<dyn FnMut()> {
    let mut network = network(name, size);
    let heads = heads_of(&network);
    let mut adam = Adam::new(network.parameters());
    let settings = AdamSettings::with_rate(1e-5);
    let recovery = Recovery { steps: 1, tau: 2.0, sigmoid: false };
    let weights = AimWeights { deviated: false, alpha: 0.0 };
    let objective = Objective { recovery, weights, factor: 1.0 / (images * size.elements()) as f64 };
    let shape = (images, size.height, size.width, size.channels);
    let x = batch(Stream::new(0, "x", 0).uniform(0..images * size.elements()), shape);
    let mut update = 0;
    Box::new(move || {
        update += 1;
        let r = batch(Stream::new(0, "r", update).uniform(0..images * size.elements()), shape);
        let examples = Examples { x: &x, labels: None, r: &r };
        let step = made(step(&network, &heads, &objective, &examples, None));
        adam.step(&mut network, &step.gradients, &settings, |_| Some(2f64.sqrt()));
    })
}

/// One update of every layer by Algorithm 2, T = 1, Adam and clamp included.
fn fa_local(name: &str, size: Size, images: usize) -> Box<dyn FnMut()> {
    let graph = made(local_encoder(name, size, &[("z", 128)]));
    let mut chain = made(Chain::of(&Network::<f32>::initialised(graph, Initialisation::Orthogonal, 0)));
    let mut adams: Vec<_> = chain.layers().iter().map(|layer| Adam::new(layer.network().parameters())).collect();
    let objective = Settings { start: Start::Zeros, ..Settings::paper() }.objective(images);
    let adam = AdamSettings::with_rate(1e-5);
    let shape = (images, size.height, size.width, size.channels);
    let first = batch(Stream::new(0, "x", 0).uniform(0..images * size.elements()), shape);
    Box::new(move || {
        let mut x = first.clone();
        for (layer, moments) in chain.layers_mut().iter_mut().zip(&mut adams) {
            let input = layer.network().graph().input.shape;
            let r = zeros((1, input.height, input.width, input.channels));
            let step = made(layer.step(&objective, &x, &r));
            x = layer.activate(&step.latents);
            moments.step(layer.network_mut(), &step.gradients, &adam, |_| Some(2f64.sqrt()));
        }
    })
}

/// One VFA-GAN update as the preset `paper` takes it, with ten classes.
fn vfa_gan(name: &str, size: Size, images: usize) -> Box<dyn FnMut()> {
    let settings = Settings::paper();
    let graph = made(encoder(name, size, &[("mu", 128), ("log_var", 128), ("class", 10)]));
    let mut network = Network::<f32>::initialised(graph, Initialisation::Orthogonal, 0);
    let (heads, mut moments) = (heads_of(&network), Adam::new(network.parameters()));
    let built = |graph| Network::<f32>::initialised(made(graph), Initialisation::Uniform, 0);
    let (refiner, judge) = (built(generator(name, size, Some(10))), built(discriminator(name, size, true)));
    let mut adversary = made(Adversary::new(refiner, judge, settings.adversarial));
    let adam = AdamSettings::with_rate(1e-5);
    let shape = (images, size.height, size.width, size.channels);
    let x = batch(Stream::new(0, "x", 0).uniform(0..images * size.elements()), shape);
    let labels = one_hot(&(0..images as i64).map(|i| i % 10).collect::<Vec<_>>(), 10, 1.0);
    let (objective, mut update) = (settings.objective(images), 0);
    Box::new(move || {
        update += 1;
        let stream = |purpose| Stream::new(0, purpose, update);
        let r = settings.start.draw(&stream("start"), 0, images, (size.height, size.width, size.channels));
        let noise = batch(stream("noise").normal(0..images * 128), (images, 1, 1, 128));
        let draw = Draw { noise, weights: settings.divergence_weights(&stream("beta"), images) };
        let examples = Examples { x: &x, labels: Some(&labels), r: &r };
        let step = made(step(&network, &heads, &objective, &examples, Some(&draw)));
        moments.step(&mut network, &step.gradients, &adam, |_| Some(2f64.sqrt()));
        let statistics = step.log_variances.as_ref().map(|log_var| [&step.latents, log_var]);
        let (labels, r, factor) = (Some(&labels), &step.recovered, objective.factor);
        let round = Round { x: &x, r, labels, statistics, factor, stream: stream("round") };
        made(adversary.update(&network, &heads, &round, None, &adam));
    })
}

/// The model of Nash et al. for MNIST: 64 filters, 3 blocks, 256-way softmax, conditional on FC3.
fn pixelcnn_mnist() -> PixelCnn<f32> {
    let (likelihood, condition) = (Likelihood::Softmax, Some(Condition::Vector(256)));
    made(PixelCnn::random(
        Architecture { channels: 1, height: 28, width: 28, filters: 64, blocks: 3, likelihood, condition },
        0,
    ))
}

/// 16 images drawn pixel by pixel, eight by each of two threads.
fn pixelcnn_sample_mnist() -> Box<dyn FnMut()> {
    let model = pixelcnn_mnist();
    let condition: Vec<f32> = Stream::new(0, "h", 0).normal(0..16 * 256);
    Box::new(move || {
        condition.par_chunks(8 * 256).enumerate().for_each(|(part, condition)| {
            let condition = batch(condition.to_vec(), (8, 1, 1, 256));
            let draws = Draws { seed: 0, first: 8 * part, temperature: 1.0 };
            std::hint::black_box(sample(&model, 8, Some(&condition), draws, None));
        });
    })
}

/// One update of 16 images, without dropout and averages, as the peer takes it.
fn pixelcnn_train_mnist() -> Box<dyn FnMut()> {
    let mut model = pixelcnn_mnist();
    let pixels: Vec<u8> = Stream::new(0, "x", 0).bits(0..16 * 784).iter().map(|bits| *bits as u8).collect();
    let condition = batch(Stream::new(0, "h", 0).normal(0..16 * 256), (16, 1, 1, 256));
    let (mut adam, settings) = (Adam::new(model.parameters()), AdamSettings::with_rate(1e-3));
    Box::new(move || {
        let mut tape = Tape::recording();
        let nll = model.negative_log_likelihood(&mut tape, &pixels, Some(&condition), density::Mode::Inference);
        let mut gradients = backward(tape, &nll, vec![1.0 / (16.0 * 784.0); 16]);
        adam.advance();
        for which in 0..model.parameters().len() {
            let gradient = gradient_there(&mut gradients, &model.parameters()[which]);
            adam.update(which, &mut model.parameters_mut()[which], &gradient, &settings, None);
        }
    })
}

/// What a built-in architecture cannot fail to give.
fn made<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| unreachable!("a built-in architecture: {error}"))
}

/// 10 gradient steps on the input for 256 latents.
fn fa_invert_mnist() -> Box<dyn FnMut()> {
    let size = Size::new(1, 28, 28);
    let network = network("mnist", size);
    let node = heads_of(&network).latent;
    let recovery = Recovery { steps: 10, tau: 0.2, sigmoid: false };
    let z = batch(Stream::new(0, "z", 0).normal(0..256 * 128), (256, 1, 1, 128));
    Box::new(move || {
        let r = batch(Stream::new(0, "r", 0).uniform(0..256 * 784), (256, 28, 28, 1));
        let recovered = recovery.recover(&mut Tape::off(), &network, &[Aim::at(node, &z)], &r);
        std::hint::black_box(recovered.is_ok());
    })
}

fn network(name: &str, size: Size) -> Network<f32> {
    Network::initialised(made(encoder(name, size, &[("z", 128)])), Initialisation::Orthogonal, 0)
}

/// The places of the outputs.
fn heads_of(network: &Network<f32>) -> Heads {
    made(Heads::of(network.graph()))
}

fn main() {
    keep_pages();
    let (mut rounds, mut memory) = (5, false);
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(rounds),
            "--memory" => memory = true,
            _ => wanted.push(argument),
        }
    }
    // In the pool, as the tools compute.
    rayon::scope(|_| measure(&wanted, rounds, memory));
}

fn measure(wanted: &[String], rounds: usize, memory: bool) {
    for (name, job) in JOBS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        let mut step = job();
        step();
        let mut halfway = 0.0;
        let mut times: Vec<f64> = (0..rounds)
            .map(|round| {
                if round == rounds / 2 {
                    halfway = peak_mb();
                }
                let start = Instant::now();
                step();
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let mut line = serde_json::json!({"job": name, "seconds": times[rounds / 2], "rounds": rounds});
        if memory {
            line["peak_mb"] = peak_mb().into();
            line["grown_mb"] = (peak_mb() - halfway).into();
        }
        println!("{line}");
    }
}

/// The largest resident size the process has had, in MB (Linux).
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
