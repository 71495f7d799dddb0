//! Devices by the names that people give them.

use std::sync::Arc;

use burn_backend::FloatDType;
use burn_dispatch::DispatchDevice;

use super::Burn;
use crate::{Description, Engine, Error};

/// How products are computed; all else is in the arrays' own precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In the arrays' precision.
    Single,
    /// Factors rounded to 16 bits, of this type.
    Mixed(FloatDType),
}

impl Precision {
    /// `f32`, or `mixed` and its type.
    pub(super) fn name(self) -> String {
        match self {
            Self::Single => "f32".into(),
            Self::Mixed(FloatDType::BF16) => "mixed (bf16)".into(),
            Self::Mixed(_) => "mixed (f16)".into(),
        }
    }
}

/// Kinds of devices that this build can open, in the order in which `gpu` looks for one.
pub fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    if cfg!(feature = "cuda") {
        names.push("cuda");
    }
    if cfg!(feature = "rocm") {
        names.push("rocm");
    }
    if cfg!(feature = "wgpu") {
        names.extend(["metal", "vulkan"]);
    }
    names.push("flex");
    names
}

/// Opens a device: `gpu`, `cuda`, `rocm`, `metal`, `vulkan` or `flex`, each with `:N` for the N-th of its kind, from 0. `is_mixed` has
/// products computed with factors of 16 bits.
///
/// # Errors
/// `Open` when this build has no such kind, or the machine no such device.
pub fn open(name: &str, is_mixed: bool) -> Result<Arc<dyn Engine>, Error> {
    let refused = |reason: String| Error::Open { name: name.into(), reason };
    let (kind, number) = match name.split_once(':') {
        None => (name, None),
        Some((kind, number)) => {
            let number: usize = number.parse().map_err(|_| refused(format!("expected a number after `{kind}:`")))?;
            (kind, Some(number))
        }
    };
    match kind {
        "gpu" => {
            let kinds = names().into_iter().filter(|&kind| kind != "flex");
            let mut reasons = Vec::new();
            for kind in kinds {
                match of_kind(kind, number, is_mixed) {
                    Ok(device) => return Ok(device),
                    Err(reason) => reasons.push(format!("{kind}: {reason}")),
                }
            }
            Err(refused(format!("no GPU was found ({})", reasons.join("; "))))
        }
        kind => of_kind(kind, number, is_mixed).map_err(refused),
    }
}

/// The words of a refusal are those of the driver.
fn of_kind(kind: &str, number: Option<usize>, is_mixed: bool) -> Result<Arc<dyn Engine>, String> {
    match kind {
        "flex" => flex(is_mixed),
        #[cfg(feature = "wgpu")]
        "vulkan" | "metal" => super::open_wgpu::open(kind, number, is_mixed),
        #[cfg(feature = "cuda")]
        "cuda" => {
            let index = number.unwrap_or(0);
            let device = burn_dispatch::devices::CudaDevice { index };
            cube(
                format!("cuda:{index}"),
                DispatchDevice::Cube(burn_dispatch::devices::CubeDevice::Cuda(device)),
                is_mixed,
            )
        }
        #[cfg(feature = "rocm")]
        "rocm" => {
            let index = number.unwrap_or(0);
            let device = burn_dispatch::devices::RocmDevice { index };
            cube(
                format!("rocm:{index}"),
                DispatchDevice::Cube(burn_dispatch::devices::CubeDevice::Hip(device)),
                is_mixed,
            )
        }
        _ => {
            let _ = number;
            Err(format!("this build opens {}", names().join(", ")))
        }
    }
}

/// Burn's engine for processors.
fn flex(is_mixed: bool) -> Result<Arc<dyn Engine>, String> {
    let precision = if is_mixed { Precision::Mixed(FloatDType::BF16) } else { Precision::Single };
    let description = Description {
        name: "flex".into(),
        processor: std::env::consts::ARCH.into(),
        driver: "burn-flex 0.22".into(),
        precision: precision.name(),
    };
    let device = DispatchDevice::Flex(burn_dispatch::devices::FlexDevice);
    Ok(Arc::new(Burn::new(device, description, precision, true)))
}

/// A device of CUDA or ROCm. Opening it is what tells whether it is there, and its library panics where it is not.
#[cfg(any(feature = "cuda", feature = "rocm"))]
fn cube(name: String, device: DispatchDevice, is_mixed: bool) -> Result<Arc<dyn Engine>, String> {
    let identity = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.identity()));
    let identity = identity.ok().flatten().ok_or("no such device answers, or its driver is missing")?;
    let precision = if is_mixed { Precision::Mixed(FloatDType::BF16) } else { Precision::Single };
    let driver = format!("cubecl 0.11, {}", identity.fingerprint);
    let description = Description { name, processor: identity.name, driver, precision: precision.name() };
    Ok(Arc::new(Burn::new(device, description, precision, false)))
}
