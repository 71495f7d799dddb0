//! Constants out of shapes and settings, and casts.

use ndarray::{Array1, ArrayD, IxDyn};

use super::super::shapes::whole;
use super::{Folded, Folding, index, lengths, refused, scalar, values};
use crate::store::onnx::{Attribute, Constant, ElementType};

impl Folding<'_> {
    pub(super) fn constant(&self) -> Folded<Constant> {
        let constant = |(_, attribute): (&String, &Attribute)| match attribute {
            Attribute::Tensor(tensor) => Some(tensor.clone()),
            Attribute::Float(value) => Some(Constant::Floats(ArrayD::from_elem(IxDyn(&[]), *value))),
            Attribute::Integer(value) => Some(scalar(*value)),
            Attribute::Integers(values) => Some(whole(values.clone())),
            Attribute::Floats(values) => Some(Constant::Floats(Array1::from(values.clone()).into_dyn())),
            _ => None,
        };
        let known = self.node.attributes.iter().filter(|(name, _)| name.contains("value")).find_map(constant);
        known.ok_or_else(|| refused("a tensor or numbers", "another value"))
    }

    pub(super) fn filled(&self) -> Folded<Constant> {
        let axes = lengths(&self.settings("shape", 0)?.unwrap_or_default())?;
        let shape = self.room(&axes)?;
        Ok(match self.node.attributes.get("value") {
            Some(Attribute::Tensor(value)) => {
                of_either!(value, value => ArrayD::from_elem(shape, value.first().copied().unwrap_or_default()))
            }
            _ => Constant::Floats(ArrayD::zeros(shape)),
        })
    }

    /// Ones on a diagonal of a matrix like another.
    pub(super) fn eye(&self) -> Folded<Constant> {
        let like = self.first()?;
        let &[rows, columns] = like.shape() else {
            return Err(refused("a matrix", format!("shape {:?}", like.shape())));
        };
        let shape = self.room(&[rows, columns])?;
        let offset = self.integer("k", 0);
        let is_one = |row: usize, column: usize| column as i64 == (row as i64).saturating_add(offset);
        let is_float = match self.node.integer("dtype") {
            Some(code) => element(code)?.is_float(),
            None => matches!(like, Constant::Floats(_)),
        };
        Ok(match is_float {
            true => Constant::Floats(ArrayD::from_shape_fn(shape, |at| f32::from(is_one(at[0], at[1])))),
            false => Constant::Integers(ArrayD::from_shape_fn(shape, |at| i64::from(is_one(at[0], at[1])))),
        })
    }

    /// start, start + delta, … before the limit.
    pub(super) fn range(&self) -> Folded<Constant> {
        let count = |count: f64| -> Folded<usize> {
            let count = count.ceil().max(0.0) as usize;
            self.room(&[count])?;
            Ok(count)
        };
        let [start, limit, delta] = [self.input(0)?, self.input(1)?, self.input(2)?];
        match [start, limit, delta].map(|input| (input, input.shape().iter().product::<usize>())) {
            [(Constant::Integers(start), 1), (Constant::Integers(limit), 1), (Constant::Integers(delta), 1)] => {
                let [start, limit, delta] =
                    [start, limit, delta].map(|value| value.first().copied().unwrap_or_default());
                if delta == 0 {
                    return Err(refused("a step", 0));
                }
                let span = i128::from(limit) - i128::from(start);
                // Exactly ceil(span / delta): the quotient rounds towards zero.
                let (quotient, rest) = (span / i128::from(delta), span % i128::from(delta));
                let count = count((quotient + i128::from(rest != 0 && (rest > 0) == (delta > 0))) as f64)?;
                Ok(whole((0..count as i64).map(|place| start.wrapping_add(place.wrapping_mul(delta))).collect()))
            }
            [(Constant::Floats(start), 1), (Constant::Floats(limit), 1), (Constant::Floats(delta), 1)] => {
                let [start, limit, delta] =
                    [start, limit, delta].map(|value| f64::from(value.first().copied().unwrap_or_default()));
                let span = (limit - start) / delta;
                if !span.is_finite() {
                    return Err(refused("a range with an end", format!("{start} to {limit} by {delta}")));
                }
                let places = (0..count(span)?).map(|place| (start + place as f64 * delta) as f32);
                Ok(Constant::Floats(Array1::from_iter(places).into_dyn()))
            }
            _ => Err(refused("three numbers of one type", "others")),
        }
    }

    /// The shape of the input from axis `start` to `end`.
    pub(super) fn shape(&self) -> Folded<Constant> {
        let shape = self.first()?.shape();
        let rank = shape.len() as i64;
        let bound = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
        let range = bound(self.integer("start", 0))..bound(self.integer("end", rank));
        let axes = shape.get(range).unwrap_or_default();
        Ok(whole(axes.iter().map(|&axis| axis as i64).collect()))
    }

    /// Floats of fewer bits keep their value: they all are of 32 bits here.
    pub(super) fn cast(&self) -> Folded<Constant> {
        self.cast_to(element(self.integer("to", 0))?)
    }

    /// A cast to the type of another constant, which the file's reader says where the file does.
    pub(super) fn cast_like(&self) -> Folded<Constant> {
        match (self.node.integer("to"), self.input(1)?) {
            (Some(code), _) => self.cast_to(element(code)?),
            (None, Constant::Integers(_)) => self.cast_to(ElementType::I64),
            (None, Constant::Floats(_)) => self.cast_to(ElementType::F32),
        }
    }

    fn cast_to(&self, element: ElementType) -> Folded<Constant> {
        Ok(match (self.first()?, element.range()) {
            (values @ Constant::Floats(_), None) => values.clone(),
            (Constant::Integers(values), None) => Constant::Floats(values.mapv(|value| value as f32)),
            (Constant::Floats(values), Some((0, 1))) => {
                Constant::Integers(values.mapv(|value| i64::from(value != 0.0)))
            }
            (Constant::Integers(values), Some((0, 1))) => {
                Constant::Integers(values.mapv(|value| i64::from(value != 0)))
            }
            (Constant::Floats(values), Some(range)) => {
                Constant::Integers(values.mapv(|value| wrapped(value as i64, range)))
            }
            (Constant::Integers(values), Some(range)) => Constant::Integers(values.mapv(|value| wrapped(value, range))),
        })
    }

    /// The values "on" where an axis of so many places has its index, "off" elsewhere; nowhere for an index beyond.
    pub(super) fn one_hot(&self) -> Folded<Constant> {
        let indices: Vec<i64> = match self.first()? {
            Constant::Integers(indices) => values(indices),
            Constant::Floats(indices) => indices.iter().map(|&index| index as i64).collect(),
        };
        let depth = match self.input(1)? {
            Constant::Integers(depth) => depth.first().copied(),
            Constant::Floats(depth) => depth.first().map(|&depth| depth as i64),
        };
        let shape = self.first()?.shape();
        let axis = self.axis(-1, shape.len() + 1)?;
        let depth = lengths(&[depth.unwrap_or(-1)])?[0];
        let shape = self.room(&[&shape[..axis], &[depth], &shape[axis..]].concat())?;
        let inner: usize = shape_after(&shape, axis);
        let places: Vec<Option<usize>> = indices.iter().map(|&value| index(value, depth).ok()).collect();
        let is_on = |flat: usize| {
            let (outer, at, rest) = (flat / inner / depth, flat / inner % depth, flat % inner);
            places[outer * inner + rest] == Some(at)
        };
        let count = ndarray::Dimension::size(&shape);
        let off_and_on = self.input(2)?;
        if off_and_on.shape() != [2] {
            return Err(refused("two values, off and on", format!("shape {:?}", off_and_on.shape())));
        }
        Ok(of_either!(off_and_on, values => {
            super::array(shape, (0..count).map(|flat| values[usize::from(is_on(flat))]).collect())?
        }))
    }
}

fn shape_after(shape: &IxDyn, axis: usize) -> usize {
    ndarray::Dimension::slice(shape)[axis + 1..].iter().product()
}

fn element(code: i64) -> Folded<ElementType> {
    ElementType::of(code).ok_or_else(|| refused("a type of floats or whole numbers", format!("type {code}")))
}

/// A number in the range of a type, as its lowest bits are read there.
fn wrapped(value: i64, (low, high): (i64, i64)) -> i64 {
    let span = i128::from(high) - i128::from(low) + 1;
    // Types of 64 bits wrap nothing.
    if span > i128::from(u32::MAX) + 1 {
        value
    } else {
        (i128::from(low) + (i128::from(value) - i128::from(low)).rem_euclid(span)) as i64
    }
}
