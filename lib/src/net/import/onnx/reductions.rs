//! What goes over whole axes: reductions, softmax, normalisations.

use ndarray::{ArrayD, arr0};

use super::arrangement::Factor;
use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{
    Add, Axis, Div, Equal, GlobalAvgPool, GroupNorm, LayerNorm, LogSoftmax, Maximum, Mul, Op, Reciprocal, Reduce,
    Reduction, RmsNorm, Softmax, Sqrt, Sub,
};

impl<'m> Translation<'m> {
    /// Reduce…, whose axes are a setting or the second input.
    pub(super) fn reduced(&mut self, site: &Site) -> Result<Computed> {
        let kind = match site.node.operation.as_str() {
            "ReduceMean" => Reduction::Mean,
            "ReduceSum" => Reduction::Sum,
            "ReduceMax" => Reduction::Max,
            "ReduceMin" => Reduction::Min,
            "ReduceProd" => Reduction::Prod,
            "ReduceL1" => Reduction::L1,
            "ReduceL2" => Reduction::L2,
            "ReduceSumSquare" => Reduction::SumSquare,
            "ReduceLogSum" => Reduction::LogSum,
            _ => Reduction::LogSumExp,
        };
        let x = self.computed(site, 0)?;
        let axes = self.settings(site, "axes", 1)?.filter(|axes| !axes.is_empty());
        let axes = match axes {
            Some(axes) => site.axes(&axes, x.rank())?,
            None if site.integer("noop_with_empty_axes", 0) != 0 => return Ok(x),
            None => (0..x.rank()).collect(),
        };
        self.reduce(site, &site.name, &x, kind, &axes, site.integer("keepdims", 1) != 0)
    }

    /// A reduction over axes, which become 1 or go.
    pub(super) fn reduce(
        &mut self,
        site: &Site,
        wish: &str,
        x: &Computed,
        kind: Reduction,
        axes: &[usize],
        keeps: bool,
    ) -> Result<Computed> {
        let places = self.places(site, x, axes)?;
        let memory = x.arrangement.memory();
        // Stretches of memory that go and that stay: three can be seen as rows, columns and channels.
        let all: Vec<usize> = (0..memory.len()).collect();
        let runs: Vec<&[usize]> = all.chunk_by(|a, b| places.contains(a) == places.contains(b)).collect();
        let goes = |run: &&[usize]| run.first().is_some_and(|place| places.contains(place));
        let (image, over) = match self.reduced_groups(x, &places) {
            Some(over) => (x.clone(), over),
            None if runs.len() <= 3 => {
                let mut groups: [Vec<usize>; 3] = Default::default();
                let mut over = Vec::new();
                let names = [Axis::Height, Axis::Width, Axis::Channels];
                for (group, run) in (3 - runs.len()..3).zip(&runs) {
                    groups[group] = run.to_vec();
                    if goes(run) {
                        over.push(names[group]);
                    }
                }
                (self.placed(x, groups, wish)?, over)
            }
            None => {
                let stay = x.arrangement.others(&places);
                (self.placed(x, [stay, Vec::new(), sorted(&places)], wish)?, vec![Axis::Channels])
            }
        };
        let is_pool = kind == Reduction::Mean && over == [Axis::Height, Axis::Width];
        let op: Op = if is_pool { GlobalAvgPool.into() } else { Reduce { kind, axes: over }.into() };
        let (node, size) = self.push(wish, op, &[&image])?;
        Ok(Computed { node, size, arrangement: image.arrangement.reduced(axes, keeps) })
    }

    /// Which of the node's own rows, columns and channels these places are, where they are whole ones.
    fn reduced_groups(&self, x: &Computed, places: &[usize]) -> Option<Vec<Axis>> {
        let memory = x.arrangement.memory();
        let mut place = 0;
        let mut over = Vec::new();
        let lengths = [(Axis::Height, x.size.height), (Axis::Width, x.size.width), (Axis::Channels, x.size.channels)];
        for (axis, length) in lengths {
            let first = place;
            let mut own = 1;
            while own < length {
                own *= memory.get(place)?;
                place += 1;
            }
            if own != length {
                return None;
            }
            let gone = (first..place).filter(|place| places.contains(place)).count();
            match gone {
                0 => {}
                all if all == place - first => over.push(axis),
                _ => return None,
            }
        }
        // An axis of length 1 goes along with the one beside it.
        if over == [Axis::Width] && x.size.height == 1 || over == [Axis::Height] && x.size.width == 1 {
            over = vec![Axis::Height, Axis::Width];
        }
        Some(over)
    }

    /// What Softmax and its like go over: one axis, before opset 13 all from it on.
    pub(super) fn softmax_axes(&self, site: &Site, rank: usize) -> Result<Vec<usize>> {
        let is_old = self.model.opset < 13;
        let axis = site.axis(site.integer("axis", if is_old { 1 } else { -1 }), rank)?;
        Ok(if is_old { (axis..rank).collect() } else { vec![axis] })
    }

    /// Softmax or its logarithm: of one axis, before opset 13 of all from it on. Of an output, its input is kept as well, as "logits".
    pub(super) fn softmax(&mut self, site: &Site<'m>) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axes = self.softmax_axes(site, x.rank())?;
        let (image, along) = self.along(site, &x, &axes)?;
        let op: Op = match site.node.operation.as_str() {
            "Softmax" => Softmax { axis: along }.into(),
            _ => LogSoftmax { axis: along }.into(),
        };
        if site.node.outputs.first().is_some_and(|output| !self.is_read(output)) {
            self.keep_logits(&x);
        }
        self.push_like(&site.name, op, &[&image])
    }

    /// LayerNormalization, and the mean and the inverse deviation where they are read.
    pub(super) fn layer_norm_and_moments(&mut self, site: &Site) -> Result<Vec<Value>> {
        let y = self.layer_norm(site, false)?;
        if site.node.outputs.iter().skip(1).all(String::is_empty) {
            return Ok(vec![Value::Computed(y)]);
        }
        let x = self.computed(site, 0)?;
        let axis = site.axis(site.integer("axis", -1), x.rank())?;
        let axes: Vec<usize> = (axis..x.rank()).collect();
        let part = |part: &str| format!("{}.{part}", site.name);
        let (mean, variance) = self.moments(site, &x, &axes)?;
        let eps = Side::Constant(arr0(site.float("epsilon", 1e-5) as f32).into_dyn(), part("eps"));
        let sum = self.paired(site, &part("floor"), Add.into(), [Side::Computed(variance), eps])?;
        let deviation = self.push_like(&part("deviation"), Sqrt, &[&sum])?;
        let inverse = self.push_like(&part("inverse"), Reciprocal, &[&deviation])?;
        Ok([y, mean, inverse].map(Value::Computed).into())
    }

    /// The mean and the variance over axes, which become 1.
    fn moments(&mut self, site: &Site, x: &Computed, axes: &[usize]) -> Result<(Computed, Computed)> {
        let part = |part: &str| format!("{}.{part}", site.name);
        let mean = self.reduce(site, &part("mean"), x, Reduction::Mean, axes, true)?;
        let sides = [Side::Computed(x.clone()), Side::Computed(mean.clone())];
        let centred = self.paired(site, &part("centred"), Sub.into(), sides)?;
        let both = [Side::Computed(centred.clone()), Side::Computed(centred)];
        let squares = self.paired(site, &part("squares"), Mul.into(), both)?;
        Ok((mean, self.reduce(site, &part("variance"), &squares, Reduction::Mean, axes, true)?))
    }

    /// LayerNormalization over the axes from `axis` on.
    pub(super) fn layer_norm(&mut self, site: &Site, is_rms: bool) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axis = site.axis(site.integer("axis", -1), x.rank())?;
        let axes: Vec<usize> = (axis..x.rank()).collect();
        let eps = site.float("epsilon", 1e-5);
        let scale = self.weights(site, 1)?;
        let bias = if is_rms { None } else { self.floats(site, 2)?.cloned() };
        let places = self.places(site, &x, &axes)?;
        // The places as they lie in memory, so that nothing moves; weights are put into that order.
        let stay = x.arrangement.others(&places);
        let image = match x.are_channels(&sorted(&places)) {
            true => x.clone(),
            false => self.placed(&x, [stay, Vec::new(), sorted(&places)], &site.name)?,
        };
        let channels = image.size.channels;
        let lengths: Vec<usize> = x.shape(self.batch)[axis..].to_vec();
        let in_memory = |array: &ArrayD<f32>| -> Result<Vec<f32>> {
            let misfit = || site.refused(format!("weights of shape {lengths:?}"), format!("{:?}", array.shape()));
            let full = array.broadcast(lengths.clone()).ok_or_else(misfit)?;
            let split: Vec<usize> = places.iter().map(|&place| x.arrangement.memory()[place]).collect();
            let full = full.as_standard_layout().into_owned().into_shape_with_order(split).map_err(|_| misfit())?;
            let order: Vec<usize> =
                sorted(&places).iter().filter_map(|place| places.iter().position(|other| other == place)).collect();
            Ok(full.permuted_axes(order).iter().copied().collect())
        };
        let weight = in_memory(&scale)?;
        let bias = bias.map(|bias| in_memory(&bias)).transpose()?;
        let y = match is_rms {
            true => self.push_like(&site.name, RmsNorm { eps }, &[&image])?,
            false => self.push_like(&site.name, LayerNorm { eps }, &[&image])?,
        };
        let bias = (!is_rms).then(|| ("bias", bias.unwrap_or_else(|| vec![0.0; channels])));
        self.keep(&y.node, [("weight", weight)].into_iter().chain(bias));
        Ok(y)
    }

    /// InstanceNormalization; where a reshape has made groups of channels of its second axis, a normalisation of groups.
    pub(super) fn instance_norm(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let eps = site.float("epsilon", 1e-5);
        let (scale, shift) = (self.weights(site, 1)?, self.weights(site, 2)?);
        let groups = x.shape(self.batch).get(1).copied().unwrap_or(1);
        if scale.len() != groups || shift.len() != groups {
            return Err(site.refused(format!("{groups} numbers"), scale.len()));
        }
        let own = x.arrangement.axis(1);
        let first_of_channels = || -> Option<bool> {
            let Some(Factor::At(place)) = own.first() else { return None };
            let after: usize = x.arrangement.memory()[*place..].iter().product();
            Some(own.len() == 1 && after == x.size.channels)
        };
        let is_batch_alone = x.arrangement.axis(0).iter().all(|factor| *factor == Factor::Batch);
        if !is_batch_alone {
            return Err(site.refused("images along the first axis alone", format!("{:?}", x.shape(self.batch))));
        }
        let image = match own.is_empty() && groups == 1 || first_of_channels() == Some(true) {
            true => x.clone(),
            false => self.with_channels(site, &x, &[1])?,
        };
        let each = image.size.channels / groups.max(1);
        let repeated = |array: &ArrayD<f32>| array.iter().flat_map(|&value| vec![value; each]).collect::<Vec<f32>>();
        let y = self.push_like(&site.name, GroupNorm { groups, eps }, &[&image])?;
        self.keep(&y.node, [("weight", repeated(&scale)), ("bias", repeated(&shift))]);
        Ok(y)
    }

    /// GroupNormalization: weights of each channel, in the first files of each group.
    pub(super) fn group_norm(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let x = if x.rank() == 4 { self.as_image(site, &x)? } else { self.with_channels(site, &x, &[1])? };
        let groups = usize::try_from(site.integer("num_groups", 0)).unwrap_or(0);
        let mut parameters = Vec::new();
        for (which, name) in [(1, "weight"), (2, "bias")] {
            let values = self.weights(site, which)?;
            let each = x.size.channels / values.len().max(1);
            parameters.push((name, values.iter().flat_map(|&value| vec![value; each]).collect()));
        }
        let y = self.push_like(&site.name, GroupNorm { groups, eps: site.float("epsilon", 1e-5) }, &[&x])?;
        self.keep(&y.node, parameters);
        Ok(y)
    }

    /// LpNormalization: x / |x|_p along an axis, 0 where the norm is.
    pub(super) fn lp_norm(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axis = site.axis(site.integer("axis", -1), x.rank())?;
        let kind = if site.integer("p", 2) == 1 { Reduction::L1 } else { Reduction::L2 };
        let norm = self.reduce(site, &format!("{}.norm", site.name), &x, kind, &[axis], true)?;
        let zero = Side::Constant(arr0(0.0).into_dyn(), format!("{}.zero", site.name));
        let is_zero =
            self.paired(site, &format!("{}.is_zero", site.name), Equal.into(), [Side::Computed(norm.clone()), zero])?;
        let sides = [Side::Computed(norm), Side::Computed(is_zero)];
        let norm = self.paired(site, &format!("{}.floor", site.name), Add.into(), sides)?;
        self.paired(site, &site.name, Div.into(), [Side::Computed(x), Side::Computed(norm)])
    }

    /// MeanVarianceNormalization over axes, which the images may not be among.
    pub(super) fn mean_variance_norm(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axes = site.axes(site.node.integers("axes").unwrap_or(&[0, 2, 3]), x.rank())?;
        let named = |part: &str| format!("{}.{part}", site.name);
        let (mean, variance) = self.moments(site, &x, &axes)?;
        let centred = self.paired(site, &named("less_mean"), Sub.into(), [Side::Computed(x), Side::Computed(mean)])?;
        let deviation = self.push_like(&named("deviation"), Sqrt, &[&variance])?;
        let eps = Side::Constant(arr0(1e-9_f32).into_dyn(), named("eps"));
        let deviation = self.paired(site, &named("floor"), Add.into(), [Side::Computed(deviation), eps])?;
        self.paired(site, &site.name, Div.into(), [Side::Computed(centred), Side::Computed(deviation)])
    }

    /// Sum, Max, Min or Mean of any number of values.
    pub(super) fn all_together(&mut self, site: &Site, op: &Op) -> Result<Computed> {
        let count = site.node.inputs.len();
        let mut sum = self.side(site, 0)?;
        for which in 1..count {
            let is_last = which + 1 == count && site.node.operation != "Mean";
            let wish = if is_last { site.name.clone() } else { format!("{}.{which}", site.name) };
            let next = self.side(site, which)?;
            sum = match (op, sum, next) {
                // A bound for all values.
                (Op::Maximum(_) | Op::Minimum(_), Side::Computed(x), Side::Constant(bound, _))
                | (Op::Maximum(_) | Op::Minimum(_), Side::Constant(bound, _), Side::Computed(x))
                    if bound.len() == 1 && bound.ndim() <= x.rank() =>
                {
                    let bound = Some(f64::from(bound.iter().sum::<f32>()));
                    let is_low = matches!(op, Op::Maximum(Maximum));
                    let (low, high) = if is_low { (bound, None) } else { (None, bound) };
                    Side::Computed(self.clip(&wish, &x, low, high)?)
                }
                (op, sum, next) => Side::Computed(self.paired(site, &wish, op.clone(), [sum, next])?),
            };
        }
        match sum {
            Side::Computed(sum) if site.node.operation == "Mean" && count > 1 => {
                let factor = Side::Constant(arr0(1.0 / count as f32).into_dyn(), format!("{}.factor", site.name));
                self.paired(site, &site.name, Mul.into(), [Side::Computed(sum), factor])
            }
            Side::Computed(sum) => Ok(sum),
            Side::Constant(..) => self.computed(site, 0),
        }
    }
}

fn sorted(places: &[usize]) -> Vec<usize> {
    let mut places = places.to_vec();
    places.sort_unstable();
    places
}
