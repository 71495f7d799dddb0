//! Operations that exporters write in pieces, put together again: GELU, SiLU, hard swish, Mish, layer normalisation.
//!
//! Only the last piece is replaced, by the whole; the others go where nothing else reads them.

use std::collections::{BTreeMap, HashMap};

use crate::store::onnx::{Attribute, Constant, Model, Node};

/// The nodes, by their place, that give what a single operation gives; and that operation.
pub(super) fn fused(model: &Model) -> HashMap<usize, Node> {
    let mut producers = HashMap::new();
    for (place, node) in model.nodes.iter().enumerate() {
        for output in &node.outputs {
            producers.insert(output.as_str(), place);
        }
    }
    let pieces = Pieces { model, producers };
    let whole = |(place, node): (usize, &Node)| {
        let (operation, inputs, attributes) = match node.operation.as_str() {
            "Mul" => pieces.gelu(node).or_else(|| pieces.swish(node)),
            "Div" => pieces.hard_swish(node),
            "Add" => pieces.scaled_layer_norm(node),
            _ => None,
        }?;
        let inputs = inputs.into_iter().map(String::from).collect();
        Some((place, Node { operation: operation.into(), inputs, attributes, ..node.clone() }))
    };
    model.nodes.iter().enumerate().filter_map(whole).collect()
}

/// An operation, what it reads, and its attributes.
type Whole<'m> = (&'static str, Vec<&'m str>, BTreeMap<String, Attribute>);

struct Pieces<'m> {
    model: &'m Model,
    producers: HashMap<&'m str, usize>,
}

impl<'m> Pieces<'m> {
    /// The operation of this kind that makes a value.
    fn made(&self, value: &str, operation: &str) -> Option<&'m Node> {
        let node = &self.model.nodes[*self.producers.get(value)?];
        (node.operation == operation).then_some(node)
    }

    /// The number that a value is, everywhere.
    fn number(&self, value: &str) -> Option<f64> {
        let constant = match (self.model.tensors.get(value), self.made(value, "Constant")) {
            (Some(constant), _) => constant,
            (None, Some(node)) => match node.attributes.iter().next()?.1 {
                Attribute::Tensor(constant) => constant,
                Attribute::Float(value) => return Some(f64::from(*value)),
                _ => return None,
            },
            _ => return None,
        };
        match constant {
            Constant::Floats(array) if array.len() == 1 => array.first().copied().map(f64::from),
            _ => None,
        }
    }

    fn is(&self, value: &str, number: f64) -> bool {
        // A float near it, or the half next to it.
        let agrees = |found: f64| {
            (found - number).abs() <= 1e-6 * number.abs() || found == f64::from(half::f16::from_f64(number))
        };
        self.number(value).is_some_and(agrees)
    }

    /// The inputs of a sum or product, in both orders.
    fn both(node: &'m Node) -> [[&'m str; 2]; 2] {
        match node.inputs.as_slice() {
            [a, b] => [[a, b], [b, a]],
            _ => [["", ""]; 2],
        }
    }

    /// What is multiplied by a number.
    fn times(&self, value: &str, number: f64) -> Option<&'m str> {
        if let Some(node) = self.made(value, "Mul") {
            let of = |[x, factor]: &[&'m str; 2]| self.is(factor, number).then_some(*x);
            return Self::both(node).iter().find_map(of);
        }
        let node = self.made(value, "Div")?;
        (self.is(node.inputs.get(1)?, 1.0 / number)).then_some(node.inputs[0].as_str())
    }

    /// What a number is added to.
    fn plus(&self, value: &str, number: f64) -> Option<&'m str> {
        let node = self.made(value, "Add")?;
        Self::both(node).iter().find_map(|[x, term]| self.is(term, number).then_some(*x))
    }

    /// x Φ(x): (x / 2) (1 + erf(x / √2)), or the half last; or by tanh.
    fn gelu(&self, node: &'m Node) -> Option<Whole<'m>> {
        let bell = |value: &str| -> Option<(&'m str, bool)> {
            let inner = self.plus(value, 1.0)?;
            if let Some(erf) = self.made(inner, "Erf") {
                return Some((self.times(&erf.inputs[0], std::f64::consts::FRAC_1_SQRT_2)?, false));
            }
            // √(2/π) (x + 0.044715 x³)
            let tanh = self.made(inner, "Tanh")?;
            let sum = self.made(self.times(&tanh.inputs[0], (2.0 / std::f64::consts::PI).sqrt())?, "Add")?;
            Self::both(sum).iter().find_map(|[x, cubic]| {
                let cube = self.made(self.times(cubic, 0.044715)?, "Pow")?;
                (cube.inputs[0] == *x && self.is(&cube.inputs[1], 3.0)).then_some((*x, true))
            })
        };
        let whole = |(x, is_tanh): (&'m str, bool)| -> Whole<'m> {
            let word = if is_tanh { "tanh" } else { "none" };
            ("Gelu", vec![x], [("approximate".to_string(), Attribute::Text(word.into()))].into())
        };
        for [one, other] in Self::both(node) {
            // x (…) once, then the half.
            if self.is(other, 0.5)
                && let Some(product) = self.made(one, "Mul")
            {
                for [x, rest] in Self::both(product) {
                    if let Some((of, is_tanh)) = bell(rest).filter(|(of, _)| *of == x) {
                        return Some(whole((of, is_tanh)));
                    }
                }
            }
            // The half of x, or of the bell, then the product.
            if let Some((of, is_tanh)) = bell(other)
                && self.times(one, 0.5) == Some(of)
            {
                return Some(whole((of, is_tanh)));
            }
            if let Some(rest) = self.times(other, 0.5)
                && let Some((of, is_tanh)) = bell(rest).filter(|(of, _)| *of == one)
            {
                return Some(whole((of, is_tanh)));
            }
        }
        None
    }

    /// x σ(x), x σ(1.702 x), x tanh(softplus(x)), x hardsigmoid(x).
    fn swish(&self, node: &'m Node) -> Option<Whole<'m>> {
        Self::both(node).into_iter().find_map(|[x, gate]| {
            if let Some(sigmoid) = self.made(gate, "Sigmoid") {
                let inner = sigmoid.inputs[0].as_str();
                return match inner == x {
                    true => Some(("Swish", vec![x], Default::default())),
                    false => (self.times(inner, 1.702) == Some(x))
                        .then(|| ("com.microsoft.QuickGelu", vec![x], Default::default())),
                };
            }
            if let Some(hard) = self.made(gate, "HardSigmoid") {
                let is_sixth = hard.float("alpha").is_some_and(|alpha| (alpha - 1.0 / 6.0).abs() < 1e-6);
                let fits = is_sixth && hard.float("beta").is_none_or(|beta| beta == 0.5) && hard.inputs[0] == x;
                return fits.then(|| ("HardSwish", vec![x], Default::default()));
            }
            let soft = self.made(&self.made(gate, "Tanh")?.inputs[0], "Softplus")?;
            (soft.inputs[0] == x).then(|| ("Mish", vec![x], Default::default()))
        })
    }

    /// x min(max(x + 3, 0), 6) / 6.
    fn hard_swish(&self, node: &'m Node) -> Option<Whole<'m>> {
        let product = self.made(node.inputs.first()?, "Mul").filter(|_| self.is(&node.inputs[1], 6.0))?;
        Self::both(product).into_iter().find_map(|[x, gate]| {
            let clip = self.made(gate, "Clip")?;
            let bound = |which: usize, name: &str| {
                clip.inputs.get(which).and_then(|value| self.number(value)).or(clip.float(name).map(f64::from))
            };
            let fits = bound(1, "min") == Some(0.0)
                && bound(2, "max") == Some(6.0)
                && self.plus(&clip.inputs[0], 3.0) == Some(x);
            fits.then(|| ("HardSwish", vec![x], Default::default()))
        })
    }

    /// (x - E x) / √(E (x - E x)² + ε) over the last axis, with a scale.
    fn layer_norm(&self, node: &'m Node, [scale, shift]: [&'m str; 2]) -> Option<Whole<'m>> {
        let [centred, deviation] = [node.inputs.first()?, node.inputs.get(1)?];
        let sub = self.made(centred, "Sub")?;
        let (x, mean) = (sub.inputs[0].as_str(), sub.inputs[1].as_str());
        let is_mean = |value: &str, of: &str| -> Option<bool> {
            let mean = self.made(value, "ReduceMean")?;
            let axes = match mean.integers("axes") {
                Some(axes) => axes.to_vec(),
                None => match self.model.tensors.get(mean.inputs.get(1)?)? {
                    Constant::Integers(axes) => axes.iter().copied().collect(),
                    Constant::Floats(_) => return None,
                },
            };
            Some(axes == [-1] && mean.inputs[0] == of && mean.integer("keepdims").unwrap_or(1) == 1)
        };
        is_mean(mean, x)?.then_some(())?;
        let sum = self.made(&self.made(deviation, "Sqrt")?.inputs[0], "Add")?;
        let (variance, eps) =
            Self::both(sum).into_iter().find_map(|[variance, eps]| Some((variance, self.number(eps)?)))?;
        let squares = self.made(variance, "ReduceMean")?.inputs[0].as_str();
        is_mean(variance, squares)?.then_some(())?;
        let of_square = |value: &str| -> Option<&str> {
            match (self.made(value, "Pow"), self.made(value, "Mul")) {
                (Some(pow), _) => self.is(&pow.inputs[1], 2.0).then_some(pow.inputs[0].as_str()),
                (_, Some(product)) => (product.inputs[0] == product.inputs[1]).then_some(product.inputs[0].as_str()),
                _ => None,
            }
        };
        let squared = self.made(of_square(squares)?, "Sub")?;
        (squared.inputs == sub.inputs).then_some(())?;
        let attributes =
            [("epsilon".to_string(), Attribute::Float(eps as f32)), ("axis".to_string(), Attribute::Integer(-1))];
        Some(("LayerNormalization", vec![x, scale, shift], attributes.into()))
    }

    /// The same with a scale and a shift, which are tensors of the file.
    fn scaled_layer_norm(&self, node: &'m Node) -> Option<Whole<'m>> {
        let is_row = |value: &str| self.model.tensors.get(value).is_some_and(|tensor| tensor.shape().len() == 1);
        Self::both(node).into_iter().filter(|[_, shift]| is_row(shift)).find_map(|[scaled, shift]| {
            let product = self.made(scaled, "Mul")?;
            Self::both(product)
                .into_iter()
                .filter(|[_, scale]| is_row(scale))
                .find_map(|[norm, scale]| self.layer_norm(self.made(norm, "Div")?, [scale, shift]))
        })
    }
}
