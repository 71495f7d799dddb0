//! The device that a run computes on.

use anyhow::ensure;

use super::Task;
use crate::arguments::DeviceArgument;

/// The argument, and what the sidecar says of it.
pub(super) const DEVICE: &str = "device";

impl Task {
    /// Computes on the device that was asked for. Its name, processor, driver and precision decide freshness, and stand in the sidecar.
    ///
    /// # Errors
    /// A device that this build or machine does not have; `is_double`, which devices do not compute in.
    pub fn on(&mut self, argument: &DeviceArgument, is_double: bool) -> anyhow::Result<()> {
        let Some(name) = argument.name() else { return Ok(()) };
        ensure!(!is_double, "--device {name}: it computes in f32; leave --precision, or give --device cpu");
        match argument.open()? {
            Some(found) => self.resolved(DEVICE, found),
            None => Ok(()),
        }
    }
}
