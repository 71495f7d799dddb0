//! A batch: values in the processor's memory, on a device, or in both places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dfdx::prelude::{HasShape, ReshapeTo};
use obverse_engine::Array;

use super::{Element, Host, Shape, device};

/// A batch of images or vectors, channels last, (N, H, W, C). Clones share the values, and are one to the tape.
#[derive(Debug)]
pub struct Batch<E: Element>(Arc<Cell<E>>);

#[derive(Debug)]
struct Cell<E: Element> {
    name: Ghost,
    host: OnceLock<Host<E>>,
    device: OnceLock<Array>,
}

/// What the tape knows a batch by: nothing of its values is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ghost {
    pub(super) id: u64,
    pub(super) shape: Shape,
}

impl<E: Element> Clone for Batch<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Ghost {
    fn new(shape: Shape) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), shape }
    }

    /// The number of values.
    pub(super) fn len(self) -> usize {
        let (n, h, w, c) = self.shape;
        n * h * w * c
    }
}

impl<E: Element> Batch<E> {
    /// A batch of values in the processor's memory.
    pub(super) fn from_host(host: Host<E>) -> Self {
        Self(Arc::new(Cell { name: Ghost::new(*host.shape()), host: host.into(), device: OnceLock::new() }))
    }

    /// A batch of values on a device.
    pub(super) fn from_device(array: Array, shape: Shape) -> Self {
        Self(Arc::new(Cell { name: Ghost::new(shape), host: OnceLock::new(), device: array.into() }))
    }

    /// The shape (N, H, W, C).
    pub(super) fn shape(&self) -> Shape {
        self.0.name.shape
    }

    /// What the tape knows it by.
    pub(crate) fn ghost(&self) -> Ghost {
        self.0.name
    }

    /// The values as another shape has them, under the same name: gradients of one are those of the other.
    ///
    /// `None` on a device, where it is an operation.
    pub(crate) fn seen_as(&self, shape: Shape) -> Option<Self> {
        if self.on_device().is_some() {
            return None;
        }
        let host = self.host().clone().reshape_like(&shape);
        let name = Ghost { id: self.0.name.id, shape };
        Some(Self(Arc::new(Cell { name, host: host.into(), device: OnceLock::new() })))
    }

    /// The values on a device, where they are on one.
    pub(super) fn on_device(&self) -> Option<&Array> {
        self.0.device.get()
    }

    /// The values on a device, put there where they are not.
    pub(super) fn put_on(&self, make: impl FnOnce(&Host<E>) -> Array) -> &Array {
        self.0.device.get_or_init(|| make(self.host()))
    }

    /// The values in the processor's memory, fetched where they are not there.
    pub(super) fn host(&self) -> &Host<E> {
        self.0.host.get_or_init(|| {
            let array = self.0.device.get().map(device::fetched).unwrap_or_default();
            device::tensor(array, self.shape())
        })
    }

    /// The values in the processor's memory, to be changed: those of a device are forgotten.
    pub(super) fn host_mut(&mut self) -> &mut Host<E> {
        self.host();
        if Arc::get_mut(&mut self.0).is_none() {
            let (name, host) = (self.0.name, self.0.host.clone());
            self.0 = Arc::new(Cell { name, host, device: OnceLock::new() });
        }
        let cell = Arc::get_mut(&mut self.0);
        let cell = cell.unwrap_or_else(|| unreachable!("no other batch has this cell"));
        cell.device = OnceLock::new();
        cell.host.get_mut().unwrap_or_else(|| unreachable!("the values were fetched"))
    }
}

/// The values in memory order, without a copy. Every tensor that this crate makes is contiguous.
///
/// # Panics
/// For a tensor that dfdx has broadcast or permuted: its values do not lie one after another.
#[allow(unsafe_code)]
pub(super) fn view<E: Element>(x: &Host<E>) -> &[E] {
    let (n, h, w, c) = *x.shape();
    if n == 0 || h == 0 || w == 0 || c == 0 {
        return &[];
    }
    let first: *const E = &x[[0, 0, 0, 0]];
    let distance = |index: [usize; 4]| (&raw const x[index] as usize).wrapping_sub(first as usize) / size_of::<E>();
    // An axis of one entry has no distance to check. In 128 bits three axes' product is exact.
    let contiguous = (n == 1
        || distance([1, 0, 0, 0]) as u128 == (h as u128).saturating_mul(w as u128).saturating_mul(c as u128))
        && (h == 1 || distance([0, 1, 0, 0]) as u128 == w as u128 * c as u128)
        && (w == 1 || distance([0, 0, 1, 0]) == c)
        && (c == 1 || distance([0, 0, 0, 1]) == 1);
    let last = distance([n - 1, h - 1, w - 1, c - 1]);
    assert!(
        contiguous
            && Some(last + 1) == [n, h, w, c].iter().try_fold(1usize, |product, &axis| product.checked_mul(axis)),
        "view: expected a contiguous tensor of shape {:?}, found one that is broadcast or permuted; copy it first",
        *x.shape()
    );
    // SAFETY: `first` and `last` are elements of the tensor's one buffer (indexing checks it), `last + 1` is the shape's
    // number of values, which is what lies from the first to the last.
    unsafe { std::slice::from_raw_parts(first, last + 1) }
}

/// The values in memory order, mutable. Copied first if another tensor shares them.
#[allow(unsafe_code)]
pub(super) fn view_mut<E: Element>(x: &mut Host<E>) -> &mut [E] {
    let length = view(x).len();
    if length == 0 {
        return &mut [];
    }
    let first: *mut E = &mut x[[0, 0, 0, 0]];
    // SAFETY: as in `view`; `index_mut` has made this tensor the buffer's only owner.
    unsafe { std::slice::from_raw_parts_mut(first, length) }
}
