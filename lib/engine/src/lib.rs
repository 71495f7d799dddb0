//! The seam between Obverse's methods and what computes them on a device.
//!
//! An [`Engine`] is where arrays lie and what runs [`Instruction`]s on them: one small trait, so that a method is written once for all
//! devices. [`Array`] is a handle of values on a device, with a method for each instruction. [`Program`] records instructions as they run,
//! and [`Program::pull`] takes a cotangent back through them.
//!
//! Engines: Burn (feature `burn`, and `wgpu`, `cuda`, `rocm`, `metal` for devices), which brings CUDA, ROCm, Metal, Vulkan and a
//! processor of its own; and a plain one for tests (feature `reference`).

mod array;
#[cfg(feature = "burn")]
pub mod burn;
mod derivative;
mod instruction;
mod operators;
mod program;
#[cfg(feature = "reference")]
pub mod reference;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

pub use array::Array;
pub use instruction::{Binary, Convolution, Instruction, Unary, elements};
pub use program::{Program, Variable, concat};

/// What an engine holds for an array; only the engine that made it looks inside.
pub type Buffer = Arc<dyn Any + Send + Sync>;

/// Values on their way to or from a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Single precision.
    Single(Vec<f32>),
    /// Double precision, where the engine has it.
    Double(Vec<f64>),
}

/// Why a device did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such device, or it could not be opened.
    #[error("{name}: {reason}")]
    Open {
        /// As the user named it.
        name: String,
        /// What the driver said.
        reason: String,
    },
    /// A device without memory for what was asked of it.
    #[error("{name}: no memory left for {operation}")]
    Memory {
        /// As the user named it.
        name: String,
        /// The instruction.
        operation: String,
    },
    /// A device that failed.
    #[error("{name}: {operation} failed: {reason}")]
    Failed {
        /// As the user named it.
        name: String,
        /// The instruction.
        operation: String,
        /// What the driver said.
        reason: String,
    },
}

thread_local! {
    static TRYING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether this thread is within a call of a device's library. Such libraries panic where they fail, and that becomes an [`Error`]: a hook
/// of panics need not tell of it.
pub fn is_trying() -> bool {
    TRYING.get()
}

/// What a device is, for sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// As the user names it: `vulkan:0`.
    pub name: String,
    /// The processor's own name.
    pub processor: String,
    /// The library or driver that runs it, and its version where known.
    pub driver: String,
    /// How products are computed: `f32`, or `mixed`.
    pub precision: String,
}

/// A device and what runs instructions on it.
pub trait Engine: Debug + Send + Sync {
    /// What it is.
    fn description(&self) -> &Description;

    /// Whether it computes in double precision.
    fn has_double(&self) -> bool;

    /// Puts values of this shape, in memory order, on the device. Where it does not compute in double precision, such values are rounded.
    ///
    /// # Errors
    /// No memory left, or a failure of the device.
    fn upload(&self, values: Values, shape: &[usize]) -> Result<Buffer, Error>;

    /// The values, in memory order.
    ///
    /// # Errors
    /// A failure of the device; one of an earlier instruction may show here only.
    fn download(&self, buffer: &Buffer) -> Result<Values, Error>;

    /// Runs an instruction; `shape` is that of the result.
    ///
    /// # Errors
    /// No memory left, or a failure of the device.
    fn run(&self, instruction: &Instruction, inputs: &[&Buffer], shape: &[usize]) -> Result<Buffer, Error>;
}
