//! Values on a device.

use std::panic::resume_unwind;
use std::sync::Arc;

use crate::{Binary, Buffer, Engine, Error, Instruction, Values, elements};

/// A handle of values on a device; clones share them. Every method computes a new array there.
///
/// Methods do not return errors: arithmetic would be unreadable with them. What fails on the device unwinds with an [`Error`] as its
/// payload, which a program catches where it reports errors.
#[derive(Clone, Debug)]
pub struct Array {
    engine: Arc<dyn Engine>,
    shape: Vec<usize>,
    buffer: Buffer,
}

/// Hands an error to whoever catches the unwinding.
fn unwind(error: Error) -> ! {
    resume_unwind(Box::new(error))
}

impl Array {
    /// Values in memory order on a device.
    pub fn upload(engine: &Arc<dyn Engine>, values: Values, shape: &[usize]) -> Self {
        let count = match &values {
            Values::Single(values) => values.len(),
            Values::Double(values) => values.len(),
        };
        assert_eq!(count, elements(shape), "upload: the values of shape {shape:?}");
        match engine.upload(values, shape) {
            Ok(buffer) => Self { engine: engine.clone(), shape: shape.to_vec(), buffer },
            Err(error) => unwind(error),
        }
    }

    /// The values in memory order.
    pub fn download(&self) -> Values {
        self.engine.download(&self.buffer).unwrap_or_else(|error| unwind(error))
    }

    /// The device.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Runs an instruction on arrays of one device.
    pub fn run(instruction: &Instruction, inputs: &[&Self]) -> Self {
        if *instruction == Instruction::Fixed {
            return inputs[0].clone();
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let shape = instruction.shape(&shapes);
        let buffers: Vec<&Buffer> = inputs.iter().map(|input| &input.buffer).collect();
        let engine = &inputs[0].engine;
        match engine.run(instruction, &buffers, &shape) {
            Ok(buffer) => Self { engine: engine.clone(), shape, buffer },
            Err(error) => unwind(error),
        }
    }

    /// a + b.
    pub fn plus(&self, other: &Self) -> Self {
        Self::run(&Instruction::Binary(Binary::Add), &[self, other])
    }

    /// factor x + term.
    pub fn affine(&self, factor: f64, term: f64) -> Self {
        Self::run(&Instruction::Affine { factor, term }, &[self])
    }

    /// The same values in memory order, of another shape.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        if self.shape == shape { self.clone() } else { Self::run(&Instruction::Reshape(shape.to_vec()), &[self]) }
    }
}
