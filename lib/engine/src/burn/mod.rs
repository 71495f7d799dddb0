//! Devices of the Burn crates: CUDA, ROCm, and by wgpu Vulkan, Metal and DirectX; and Burn's own engine for processors, for tests.
//!
//! Kernels are Burn's and cubek's: none is written here. No autotune: which kernel runs follows from shapes alone, so the same request
//! on the same device and driver gives the same bytes.

mod open;
#[cfg(feature = "wgpu")]
mod open_wgpu;
mod products;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn_backend::ops::FloatTensorOps;
use burn_backend::{BackendTypes, BoolDType, FloatDType, TensorData, get_or_init_device_settings, read_sync};
use burn_dispatch::{Dispatch, DispatchDevice};

use crate::{Buffer, Description, Engine, Error, Instruction, Values};

pub use open::{Precision, names, open};

/// An array of floats on a device.
type Tensor = <Dispatch as BackendTypes>::FloatTensorPrimitive;

/// Places of entries on a device.
type Indices = <Dispatch as BackendTypes>::IntTensorPrimitive;

/// A device.
#[derive(Debug)]
pub struct Burn {
    device: DispatchDevice,
    description: Description,
    precision: Precision,
    /// How the device keeps truth values.
    truth: BoolDType,
    has_double: bool,
}

/// A tensor, its type of number on the device, and whether it came in double precision.
struct Held {
    tensor: Tensor,
    kind: FloatDType,
    double: bool,
}

impl Burn {
    fn new(device: DispatchDevice, description: Description, precision: Precision, has_double: bool) -> Self {
        let truth = get_or_init_device_settings::<Dispatch>(&device).bool_dtype;
        Self { device, description, precision, truth, has_double }
    }

    /// Burn panics where its callers err or a device fails: the panic's words become an error.
    fn tried<R>(&self, operation: &str, job: impl FnOnce() -> Result<R, String>) -> Result<R, Error> {
        let before = crate::TRYING.replace(true);
        let outcome = catch_unwind(AssertUnwindSafe(job));
        crate::TRYING.set(before);
        let outcome = outcome.unwrap_or_else(|payload| {
            let words = payload.downcast_ref::<String>().cloned();
            Err(words.or_else(|| payload.downcast_ref::<&str>().map(|&words| words.into())).unwrap_or_default())
        });
        outcome.map_err(|reason| self.failed(operation, reason))
    }

    fn failed(&self, operation: &str, reason: String) -> Error {
        let (name, operation) = (self.description.name.clone(), operation.to_owned());
        let wants_memory = ["out of memory", "OutOfMemory", "memory allocation", "BufferTooBig", "Not enough memory"];
        if wants_memory.iter().any(|words| reason.contains(words)) {
            return Error::Memory { name, operation };
        }
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Failed { name, operation, reason }
    }

    fn held<'b>(&self, buffer: &'b Buffer) -> Result<&'b Held, Error> {
        buffer.downcast_ref().ok_or_else(|| self.failed("an instruction", "an array of another engine".into()))
    }
}

/// Burn has no arrays without axes: one axis of one entry stands for them.
fn axes(shape: &[usize]) -> Vec<usize> {
    if shape.is_empty() { vec![1] } else { shape.to_vec() }
}

impl Engine for Burn {
    fn description(&self) -> &Description {
        &self.description
    }

    fn has_double(&self) -> bool {
        self.has_double
    }

    fn upload(&self, values: Values, shape: &[usize]) -> Result<Buffer, Error> {
        let double = matches!(values, Values::Double(_));
        let (data, kind) = match values {
            Values::Single(values) => (TensorData::new(values, axes(shape)), FloatDType::F32),
            Values::Double(values) if self.has_double => (TensorData::new(values, axes(shape)), FloatDType::F64),
            Values::Double(values) => {
                let rounded: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                (TensorData::new(rounded, axes(shape)), FloatDType::F32)
            }
        };
        let tensor = self.tried("upload", || Ok(Dispatch::float_from_data(data, &self.device)))?;
        Ok(Arc::new(Held { tensor, kind, double }))
    }

    fn download(&self, buffer: &Buffer) -> Result<Values, Error> {
        let Held { tensor, kind, double } = self.held(buffer)?;
        self.tried("download", || {
            let data = read_sync(Dispatch::float_into_data(tensor.clone())).map_err(|error| error.to_string())?;
            if *kind == FloatDType::F64 {
                return Ok(Values::Double(data.try_into_vec().map_err(|error| format!("{error:?}"))?));
            }
            let values: Vec<f32> = data.try_into_vec().map_err(|error| format!("{error:?}"))?;
            Ok(match double {
                true => Values::Double(values.into_iter().map(f64::from).collect()),
                false => Values::Single(values),
            })
        })
    }

    fn run(&self, instruction: &Instruction, inputs: &[&Buffer], shape: &[usize]) -> Result<Buffer, Error> {
        let held = inputs.iter().map(|input| self.held(input)).collect::<Result<Vec<_>, _>>()?;
        let Held { kind, double, .. } = *held[0];
        let tensors = held.iter().map(|held| held.tensor.clone()).collect();
        let tensor = self.tried(instruction.name(), || Ok(self.compute(instruction, tensors, kind, shape)))?;
        Ok(Arc::new(Held { tensor, kind, double }))
    }
}
