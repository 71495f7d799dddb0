//! Tensors of an ONNX file, in the file itself or beside it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};

use super::element::{ElementType, described};
use super::node::Constant;
use super::protocol::{SparseTensorProto, TensorProto};
use crate::store::budget;
use crate::store::weights::Broken;

pub(super) type Parsed<T> = std::result::Result<T, Broken>;

/// Reads tensors, in the file or beside it.
pub(super) struct TensorReader {
    pub(super) path: PathBuf,
    pub(super) external: BTreeSet<PathBuf>,
    /// The types of values that the file tells: of tensors, and of what constants and casts make.
    pub(super) types: HashMap<String, ElementType>,
    /// Bytes of tensors so far, and of what was read of other files: a small file may hold many numbers of few bits, and many tensors may
    /// claim the same bytes.
    held: u128,
}

impl TensorReader {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), external: BTreeSet::new(), types: HashMap::new(), held: 0 }
    }

    /// Counts bytes that are about to be held, for the values of `name`.
    pub(super) fn charge(&mut self, bytes: u128, name: &str) -> Parsed<()> {
        self.held = self.held.saturating_add(bytes);
        budget::charge(&self.path, "its tensors", self.held)
            .map_err(|error| Broken::new(format!("the values of \"{name}\" to fit into memory"), error))
    }

    /// A tensor, and the type that it has in the file; `None` for one of words.
    pub(super) fn constant(&mut self, mut tensor: TensorProto) -> Parsed<Option<(Constant, ElementType)>> {
        const WORDS: i32 = 8;
        if tensor.data_type == WORDS {
            return Ok(None);
        }
        let name = std::mem::take(&mut tensor.name);
        let element = ElementType::of(tensor.data_type.into()).ok_or_else(|| {
            Broken::new(format!("floats or whole numbers in \"{name}\""), described(tensor.data_type))
        })?;
        let (shape, count) = shape_of(&tensor.dims, &name)?;
        let wrong = |found: String| Broken::new(format!("{count} values of shape {shape:?} in \"{name}\""), found);
        let length = element.length(count).ok_or_else(|| wrong("an enormous shape".into()))?;
        let misfit = |_| Broken::new(format!("a shape of \"{name}\""), format!("{shape:?}"));
        if element == ElementType::F32 && !tensor.float_data.is_empty() {
            let found = tensor.float_data.len();
            if found != count {
                return Err(wrong(format!("{found} values")));
            }
            let array = ArrayD::from_shape_vec(IxDyn(&shape), tensor.float_data).map_err(misfit)?;
            return Ok(Some((Constant::Floats(array), element)));
        }
        let bytes = self.bytes(tensor, element, length, &name)?;
        if bytes.len() != length {
            let values = element.length(1).map_or(0, |size| bytes.len() / size);
            return Err(wrong(format!("{values} values, {} bytes", bytes.len())));
        }
        self.charge(count as u128 * if element.is_float() { 4 } else { 8 }, &name)?;
        let constant = match element.number() {
            Some(number) => {
                ArrayD::from_shape_vec(IxDyn(&shape), number.decoded(&bytes)).map(Constant::Floats).map_err(misfit)?
            }
            None => {
                let values = element.whole(&bytes, count);
                let values = values.ok_or_else(|| wrong("one that is larger than 64 bits with a sign hold".into()))?;
                ArrayD::from_shape_vec(IxDyn(&shape), values).map(Constant::Integers).map_err(misfit)?
            }
        };
        Ok(Some((constant, element)))
    }

    /// The little-endian bytes of a tensor of which `length` are expected.
    fn bytes(&mut self, tensor: TensorProto, element: ElementType, length: usize, name: &str) -> Parsed<Vec<u8>> {
        const EXTERNAL: i32 = 1;
        if tensor.data_location == EXTERNAL {
            return self.beside(&tensor.external_data, length, name);
        }
        if !tensor.raw_data.is_empty() {
            return Ok(tensor.raw_data);
        }
        Ok(match element {
            ElementType::F32 => Vec::new(),
            ElementType::F64 => tensor.double_data.into_iter().flat_map(f64::to_le_bytes).collect(),
            ElementType::I64 => tensor.int64_data.into_iter().flat_map(i64::to_le_bytes).collect(),
            ElementType::U64 => tensor.uint64_data.into_iter().flat_map(u64::to_le_bytes).collect(),
            ElementType::U32 => tensor.uint64_data.into_iter().flat_map(|value| (value as u32).to_le_bytes()).collect(),
            // Everything else stands in whole numbers of 32 bits: halves as their bits, and numbers of few bits a byte at a time.
            _ => {
                let size = element.length(1).unwrap_or(1);
                tensor.int32_data.into_iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect()
            }
        })
    }

    /// A tensor that is zero but at some places, as one of all places.
    pub(super) fn sparse(&mut self, tensor: SparseTensorProto) -> Parsed<Option<(Constant, ElementType)>> {
        let (Some(values), Some(indices)) = (tensor.values, tensor.indices) else {
            return Err(Broken::new("a sparse tensor of values and indices", "one without"));
        };
        let name = values.name.clone();
        let (shape, count) = shape_of(&tensor.dims, &name)?;
        let wrong = || Broken::new(format!("indices within {shape:?} in \"{name}\""), "others");
        let Some((values, element)) = self.constant(values)? else { return Ok(None) };
        let Some((Constant::Integers(indices), _)) = self.constant(indices)? else { return Err(wrong()) };
        let places =
            places_of(&indices, &shape).filter(|places| places.len() == values.shape().iter().product::<usize>());
        let places = places.filter(|places| places.iter().all(|&place| place < count)).ok_or_else(wrong)?;
        self.charge(count as u128 * if element.is_float() { 4 } else { 8 }, &name)?;
        Ok(Some((scattered(&values, &places, &shape), element)))
    }
}

/// A tensor's axes, and how many values they make. Axes that are not 0 must not be enormous either, though no value may be there.
fn shape_of(dims: &[i64], name: &str) -> Parsed<(Vec<usize>, usize)> {
    const ENORMOUS: usize = isize::MAX as usize / 8;
    const AXES: usize = 64;
    let shape = dims.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<Vec<_>>>();
    let product = |shape: &Vec<usize>| shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis.max(1)));
    let shape = shape.filter(|shape| product(shape).is_some_and(|count| count <= ENORMOUS && shape.len() <= AXES));
    let shape = shape.ok_or_else(|| Broken::new(format!("a shape of \"{name}\""), format!("{dims:?}")))?;
    let count = shape.iter().product();
    Ok((shape, count))
}

/// Where the values of a sparse tensor stand, in row order: said so, or one number an axis.
fn places_of(indices: &ArrayD<i64>, shape: &[usize]) -> Option<Vec<usize>> {
    let within = |index: i64, length: usize| usize::try_from(index).ok().filter(|&index| index < length);
    match indices.shape() {
        [_] => indices.iter().map(|&index| usize::try_from(index).ok()).collect(),
        &[_, rank] if rank == shape.len() => {
            let place = |row: ndarray::ArrayView1<i64>| {
                row.iter().zip(shape).try_fold(0, |place, (&index, &axis)| Some(place * axis + within(index, axis)?))
            };
            indices.view().into_dimensionality::<ndarray::Ix2>().ok()?.rows().into_iter().map(place).collect()
        }
        _ => None,
    }
}

/// Zeros, with values at these places.
fn scattered(values: &Constant, places: &[usize], shape: &[usize]) -> Constant {
    fn of<T: Copy + num_traits::Zero>(values: &ArrayD<T>, places: &[usize], shape: &[usize]) -> ArrayD<T> {
        let mut dense = ArrayD::zeros(IxDyn(shape));
        if let Some(dense) = dense.as_slice_mut() {
            places.iter().zip(values).for_each(|(&place, &value)| dense[place] = value);
        }
        dense
    }
    match values {
        Constant::Floats(values) => Constant::Floats(of(values, places, shape)),
        Constant::Integers(values) => Constant::Integers(of(values, places, shape)),
    }
}
