//! Reductions along axes.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Axis, Compute, Computed, Cotangent, Operation, Reduction, Site};
use crate::net::size::Size;
use crate::ops::reduce::{pullback, reduce};
use crate::tensor::{Batch, Element, Tape, shape};

/// Axes joined to length 1 by a sum, a mean, an extreme, its place, a product or a norm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduce {
    /// What joins the values.
    pub kind: Reduction,
    /// The axes, each once.
    pub axes: Vec<Axis>,
}

impl Operation for Reduce {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let twice = |axis: &Axis| self.axes.iter().filter(|other| *other == axis).count() > 1;
        if self.axes.iter().any(twice) {
            return Err("axes that each stand there once".into());
        }
        let Size { channels, height, width } = single(inputs)?;
        let left = |axis: Axis, length| if self.axes.contains(&axis) { 1 } else { length };
        Ok(Size::new(left(Axis::Channels, channels), left(Axis::Height, height), left(Axis::Width, width)))
    }
}

impl Compute for Reduce {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let Size { channels, height, width } = site.form.size;
        reduce(tape, site.x(), (shape(site.x()).0, height, width, channels), self.kind).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), self.kind)]
    }
}

#[cfg(test)]
impl super::Examples for Reduce {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        use Reduction::{ArgMax, ArgMin, L1, L2, LogSum, LogSumExp, Max, Mean, Min, Prod, Sum, SumSquare};
        let all = [Mean, Sum, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp, ArgMax, ArgMin];
        let image = vec![Axis::Height, Axis::Width];
        let axes = [image, vec![Axis::Channels], vec![Axis::Width, Axis::Channels], vec![]];
        let each = axes.into_iter().flat_map(|axes| all.map(|kind| Self { kind, axes: axes.clone() }));
        each.map(|op| (op, vec![Size::new(3, 2, 2)])).collect()
    }

    fn domain(value: f64) -> f64 {
        value.abs() + 0.5
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::Op;

    #[test]
    fn a_reduction_is_read_from_names_of_its_kind_and_axes() {
        let op: Op =
            serde_json::from_value(json!({"op": "reduce", "kind": "log_sum_exp", "axes": ["width", "channels"]}))
                .expect("an operation");
        assert_eq!(op, Reduce { kind: Reduction::LogSumExp, axes: vec![Axis::Width, Axis::Channels] }.into());
        assert_eq!(op.output(&[Size::new(4, 3, 2)]), Ok(Size::new(1, 3, 1)));
        let twice = Reduce { kind: Reduction::Sum, axes: vec![Axis::Width; 2] };
        assert!(twice.output(&[Size::new(4, 3, 2)]).is_err_and(|error| error.contains("once")));
    }
}
