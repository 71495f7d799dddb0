//! Operations on two values: sums, products and their like, with ONNX's broadcasting over every axis.

use ndarray::{ArrayD, Axis as ArrayAxis, IxDyn, Slice};

use super::aligned::{Aligned, Key, Keyed};
use super::arrangement::{Arrangement, Factor};
use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{Add, BatchNorm, Conv2d, Linear, Op};
use crate::net::size::Size;

impl Translation<'_> {
    /// An operation of two sides, element by element; of constants along the channels a scale and a shift where that is what it is.
    pub(super) fn paired(&mut self, site: &Site, wish: &str, op: Op, sides: [Side; 2]) -> Result<Computed> {
        if let Some(value) = self.affine(site, wish, &op, &sides)? {
            return Ok(value);
        }
        self.broadcast(site, wish, op, sides)
    }

    /// Brings both sides into one arrangement and adds the operation.
    fn broadcast(&mut self, site: &Site, wish: &str, op: Op, sides: [Side; 2]) -> Result<Computed> {
        let rank = sides.iter().map(Side::rank).max().unwrap_or(0);
        let [a, b] = sides;
        let sides = [self.of_rank(site, a, rank)?, self.of_rank(site, b, rank)?];
        let sides = self.without_batch_copies(site, sides)?;
        let labels: Vec<usize> = (0..rank).collect();
        let natural = if rank == 4 { vec![0, 2, 3, 1] } else { labels.clone() };
        let aligned = self.aligned(site, &sides, &[&labels, &labels])?;
        let order = aligned.order(&computed(&sides), &natural);
        let Some(groups) = groups(&aligned, &order, &sides) else {
            let sides = self.spread(site, sides, &aligned, &order)?;
            return self.broadcast(site, wish, op, sides);
        };
        let mut placed = Vec::new();
        for (side, keyed) in sides.iter().zip(&aligned.values) {
            placed.push(self.placed_side(side, keyed, &groups, wish)?);
        }
        let arrangement = aligned.arrangement(&labels, &order, aligned.batch());
        let (node, size) = self.push(wish, op, &placed.iter().collect::<Vec<_>>())?;
        Ok(Computed { node, size, arrangement })
    }

    /// Sides of which one more has all the axes of the result: operations broadcast along three stretches of memory at most.
    fn spread(&mut self, site: &Site, sides: [Side; 2], aligned: &Aligned, order: &[Key]) -> Result<[Side; 2]> {
        let labels: Vec<usize> = (0..sides[0].rank()).collect();
        let length = |label: &usize| aligned.lengths.get(label).map_or(1, |all| all.iter().product());
        let shape: Vec<usize> = labels.iter().map(length).collect();
        self.charge(2 * shape.iter().map(|&length| length as u128).product::<u128>(), size_of::<f32>())?;
        let which = sides.iter().position(|side| matches!(side, Side::Constant(..)));
        let [a, b] = sides;
        let spread = |array: ArrayD<f32>| {
            array
                .broadcast(IxDyn(&shape))
                .map(|array| array.to_owned())
                .ok_or_else(|| site.refused("a constant that broadcasts", ""))
        };
        Ok(match (which, a, b) {
            (_, Side::Constant(array, name), b) => [Side::Constant(spread(array)?, name), b],
            (_, a, Side::Constant(array, name)) => [a, Side::Constant(spread(array)?, name)],
            (_, Side::Computed(a), b) if aligned.values[0].keys.len() < order.len() => {
                [Side::Computed(self.expanded(site, &a, &shape)?), b]
            }
            (_, a, Side::Computed(b)) => [a, Side::Computed(self.expanded(site, &b, &shape)?)],
        })
    }

    /// A value repeated along axes of length 1 to this shape, the axis of images staying as it is: each by itself, for three stretches
    /// of memory at most.
    pub(super) fn expanded(&mut self, site: &Site, value: &Computed, shape: &[usize]) -> Result<Computed> {
        let mut value = value.clone();
        for (axis, &length) in shape.iter().enumerate() {
            if length > 1 && value.arrangement.axis(axis).is_empty() {
                let mut zeros = vec![1; shape.len()];
                zeros[axis] = length;
                let zeros = Side::Constant(ArrayD::zeros(IxDyn(&zeros)), format!("{}.zeros", site.name));
                let wish = format!("{}.expand", site.name);
                value = self.broadcast(site, &wish, Add.into(), [Side::Computed(value), zeros])?;
            }
        }
        Ok(value)
    }

    /// A side with axes of length 1 before its own.
    fn of_rank(&self, site: &Site, side: Side, rank: usize) -> Result<Side> {
        Ok(match side {
            Side::Computed(value) => {
                let added: Vec<usize> = (0..rank - value.rank()).collect();
                Side::Computed(value.with(value.arrangement.unsqueezed(&added)))
            }
            Side::Constant(array, name) => {
                let shape = [vec![1; rank - array.ndim()], array.shape().to_vec()].concat();
                let array = array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(&shape));
                Side::Constant(array.map_err(|error| site.refused("a constant in row order", error))?, name)
            }
        })
    }

    /// A constant that was repeated for every image, once.
    fn without_batch_copies(&self, site: &Site, sides: [Side; 2]) -> Result<[Side; 2]> {
        // The axis, and what each image has of it.
        let batch_axis = sides.iter().find_map(|side| match side {
            Side::Computed(value) => {
                let axis =
                    (0..value.rank()).find(|&axis| value.arrangement.axis(axis).first() == Some(&Factor::Batch))?;
                Some((axis, value.shape(1)[axis]))
            }
            Side::Constant(..) => None,
        });
        let Some((axis, each)) = batch_axis else { return Ok(sides) };
        let [a, b] = sides;
        let once = |side: Side| -> Result<Side> {
            Ok(match side {
                Side::Constant(array, name) => Side::Constant(self.once(site, array, axis, each)?, name),
                side => side,
            })
        };
        Ok([once(a)?, once(b)?])
    }

    /// The first of equal parts of a constant along the images' axis, of which each image has so many places.
    pub(super) fn once(&self, site: &Site, array: ArrayD<f32>, axis: usize, each: usize) -> Result<ArrayD<f32>> {
        if array.shape()[axis] == 1 || array.shape()[axis] == each {
            return Ok(array);
        }
        let first = array.slice_axis(ArrayAxis(axis), Slice::from(0..each)).to_owned();
        let are_equal = array.axis_chunks_iter(ArrayAxis(axis), each).all(|part| part == first);
        match are_equal {
            true => Ok(first),
            false => Err(site.refused("a constant that is the same for all images", format!("{:?}", array.shape()))),
        }
    }

    /// Sides whose axes of one label are split alike.
    pub(super) fn aligned(&self, site: &Site, sides: &[Side], labels: &[&[usize]]) -> Result<Aligned> {
        let arrangements: Vec<Arrangement> = sides.iter().map(Side::arrangement).collect();
        let labelled: Vec<(&Arrangement, &[usize])> = arrangements.iter().zip(labels.iter().copied()).collect();
        Aligned::new(&labelled).ok_or_else(|| {
            let shape = |side: &Side| format!("{:?}", side.arrangement().shape(self.batch));
            let found = sides.iter().map(shape).collect::<Vec<_>>().join(" and ");
            site.refused("values of one shape, or of axes of length 1 (the images along the same axis)", found)
        })
    }

    /// A side with its keys in these groups.
    pub(super) fn placed_side(
        &mut self,
        side: &Side,
        keyed: &Keyed,
        groups: &[Vec<Key>; 3],
        wish: &str,
    ) -> Result<Computed> {
        let place = |key: &Key| keyed.keys.iter().position(|own| own == key);
        let groups = groups.each_ref().map(|keys| keys.iter().filter_map(place).collect::<Vec<_>>());
        match side {
            Side::Computed(value) => self.placed(&value.with(keyed.arrangement.clone()), groups, wish),
            Side::Constant(array, name) => {
                let arrangement = &keyed.arrangement;
                let [height, width, channels] = groups.each_ref().map(|places| arrangement.product(places));
                let order = groups.concat();
                let split = ArrayD::from_shape_vec(IxDyn(arrangement.memory()), array.iter().copied().collect());
                let values = split.map(|split| split.permuted_axes(IxDyn(&order)).iter().copied().collect());
                let size = Size::new(channels, height, width);
                let node = self.push_parameter(name, size, values.unwrap_or_default())?;
                Ok(Computed { node, size, arrangement: arrangement.moved(&order).normalised() })
            }
        }
    }

    /// scale x + shift of each channel, where one side is a constant that says so: a bias where a layer has none yet, else a
    /// normalisation by 0 and 1, which layers before it absorb.
    fn affine(&mut self, site: &Site, wish: &str, op: &Op, sides: &[Side; 2]) -> Result<Option<Computed>> {
        let (x, array, is_reversed) = match sides {
            [Side::Computed(x), Side::Constant(array, _)] => (x, array, false),
            [Side::Constant(array, _), Side::Computed(x)] => (x, array, true),
            _ => return Ok(None),
        };
        let Some(numbers) = self.per_channel(x, array) else { return Ok(None) };
        let channels = numbers.len();
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let negative = |numbers: &[f32]| numbers.iter().map(|number| -number).collect::<Vec<_>>();
        let (scale, shift) = match op {
            Op::Add(_) => (ones, numbers),
            Op::Sub(_) if is_reversed => (negative(&ones), numbers),
            Op::Sub(_) => (ones, negative(&numbers)),
            Op::Mul(_) => (numbers, zeros),
            Op::Div(_) if !is_reversed => (numbers.iter().map(|number| 1.0 / number).collect(), zeros),
            _ => return Ok(None),
        };
        if scale.iter().chain(&shift).any(|number| !number.is_finite()) {
            return Err(site.refused("finite numbers", format!("{array:?}")));
        }
        if matches!(op, Op::Add(_)) && self.takes_bias(x) {
            self.add_bias(x, shift);
            return Ok(Some(x.clone()));
        }
        self.scaled(wish, x, scale, shift).map(Some)
    }

    /// scale x + shift of each channel.
    pub(super) fn scaled(&mut self, wish: &str, x: &Computed, scale: Vec<f32>, shift: Vec<f32>) -> Result<Computed> {
        let channels = x.size.channels;
        let (mean, variance) = (vec![0.0; channels], vec![1.0; channels]);
        let y = self.push_like(wish, BatchNorm { eps: 0.0, momentum: 0.1 }, &[x])?;
        let named = [("weight", scale), ("bias", shift), ("running_mean", mean), ("running_var", variance)];
        self.keep(&y.node, named);
        Ok(y)
    }

    /// A number for each channel of x, of a constant that is one number or that broadcasts along all other axes.
    fn per_channel(&self, x: &Computed, constant: &ArrayD<f32>) -> Option<Vec<f32>> {
        let channels = x.size.channels;
        if constant.ndim() > x.rank() {
            return None;
        }
        if constant.len() == 1 {
            return constant.first().map(|&value| vec![value; channels]);
        }
        let mut long = constant.shape().iter().enumerate().filter(|(_, length)| **length != 1);
        let (Some((axis, &length)), None) = (long.next(), long.next()) else { return None };
        let places = x.arrangement.places(&[axis + x.rank() - constant.ndim()])?;
        (x.are_channels(&places) && length == channels).then(|| constant.iter().copied().collect())
    }

    /// Whether x is a linear layer or convolution without bias that nothing else reads, under whatever name: an identity, a dropout or a
    /// change of shape makes no node, only another name.
    fn takes_bias(&self, x: &Computed) -> bool {
        let is_open =
            |op: &Op| matches!(op, Op::Linear(Linear { bias: false, .. }) | Op::Conv2d(Conv2d { bias: false, .. }));
        self.nodes.last().is_some_and(|node| node.name == x.node && is_open(&node.op)) && self.reads(&x.node) == 1
    }

    /// Gives the node that was pushed last, x, its bias.
    fn add_bias(&mut self, x: &Computed, values: Vec<f32>) {
        if let Some(node) = self.nodes.last_mut()
            && let Op::Linear(Linear { bias, .. }) | Op::Conv2d(Conv2d { bias, .. }) = &mut node.op
        {
            *bias = true;
            self.parameters.insert(format!("{}.bias", x.node), values);
        }
    }
}

/// Which sides depend on the images.
pub(super) fn computed(sides: &[Side]) -> Vec<usize> {
    (0..sides.len()).filter(|&which| matches!(sides[which], Side::Computed(_))).collect()
}

/// Keys in this order as rows, columns and channels, so that each side has all of a group or nothing; `None` where that takes more than
/// three groups. As in the side that has them all in this order already, where that will do.
pub(super) fn groups(aligned: &Aligned, order: &[Key], sides: &[Side]) -> Option<[Vec<Key>; 3]> {
    let presence = |key: &Key| aligned.values.iter().map(|value| value.keys.contains(key)).collect::<Vec<_>>();
    let is_even = |group: &Vec<Key>| group.windows(2).all(|pair| presence(&pair[0]) == presence(&pair[1]));
    for (side, keyed) in sides.iter().zip(&aligned.values) {
        let Side::Computed(Computed { size, .. }) = side else { continue };
        if keyed.keys != order {
            continue;
        }
        let mut groups: [Vec<Key>; 3] = Default::default();
        let mut rest = order.iter().copied();
        for (group, length) in groups.iter_mut().zip([size.height, size.width, size.channels]) {
            let mut own = 1;
            while own < length {
                let Some(key) = rest.next() else { break };
                own *= aligned.length(key);
                group.push(key);
            }
        }
        let product = |group: &Vec<Key>| group.iter().map(|&key| aligned.length(key)).product::<usize>();
        if groups.each_ref().map(product) == [size.height, size.width, size.channels] && groups.iter().all(is_even) {
            return Some(groups);
        }
    }
    let runs: Vec<Vec<Key>> =
        order.chunk_by(|one, next| presence(one) == presence(next)).map(<[Key]>::to_vec).collect();
    match runs.as_slice() {
        [] => Some(Default::default()),
        [channels] => Some([Vec::new(), Vec::new(), channels.clone()]),
        [rows, channels] => Some([rows.clone(), Vec::new(), channels.clone()]),
        [rows, columns, channels] => Some([rows.clone(), columns.clone(), channels.clone()]),
        _ => None,
    }
}
