//! Devices that wgpu reaches: Vulkan and Metal.

use std::sync::{Arc, Mutex, PoisonError};

use burn_backend::{FloatDType, read_sync};
use burn_dispatch::DispatchDevice;
use burn_dispatch::devices::wgpu::wgpu::{self, DeviceType};
use burn_dispatch::devices::wgpu::{AutoGraphicsApi, RuntimeOptions, try_init_setup};
use burn_dispatch::devices::{CubeDevice, WgpuBackend, WgpuDevice, WgpuDeviceKind};

use super::Burn;
use super::open::Precision;
use crate::{Description, Engine};

/// A device that this process has opened: each is opened once.
#[derive(Clone)]
struct Opened {
    name: String,
    selector: WgpuDevice,
    info: wgpu::AdapterInfo,
    has_sixteen: bool,
}

static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

/// Opens the N-th device of an interface: GPUs of their own first, then those in processors, virtual ones, and software last.
pub(super) fn open(kind: &str, number: Option<usize>, is_mixed: bool) -> Result<Arc<dyn Engine>, String> {
    let Opened { name, selector, info, has_sixteen } = opened(kind, number.unwrap_or(0))?;
    if is_mixed && !has_sixteen {
        return Err("it computes with 32 bits only: leave `--precision` as it is".into());
    }
    let precision = if is_mixed { Precision::Mixed(FloatDType::F16) } else { Precision::Single };
    let driver = format!("{} {}, wgpu 30", info.driver, info.driver_info).trim().to_owned();
    let description = Description { name, processor: info.name, driver, precision: precision.name() };
    let device = DispatchDevice::Cube(CubeDevice::Wgpu(selector));
    Ok(Arc::new(Burn::new(device, description, precision, false)))
}

fn opened(kind: &str, number: usize) -> Result<Opened, String> {
    let name = format!("{kind}:{number}");
    let mut all = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = all.iter().find(|opened| opened.name == name) {
        return Ok(opened.clone());
    }
    let (backends, backend) = match kind {
        "metal" => (wgpu::Backends::METAL, WgpuBackend::Metal),
        _ => (wgpu::Backends::VULKAN, WgpuBackend::Vulkan),
    };
    let found = adapters(backends);
    let Some((device, info)) = found.get(number) else {
        let found: Vec<&str> = found.iter().map(|(_, info)| info.name.as_str()).collect();
        return Err(match found[..] {
            [] => format!("no {kind} driver answers"),
            _ => format!("expected a number below {}, since there are: {}", found.len(), found.join(", ")),
        });
    };
    let selector = WgpuDevice::new(device.clone()).on(backend);
    let options = RuntimeOptions::try_default().map_err(|error| error.to_string())?;
    let setup = try_init_setup::<AutoGraphicsApi>(&selector, options).map_err(|error| error.to_string())?;
    let has_sixteen = setup.device.features().contains(wgpu::Features::SHADER_F16);
    let opened = Opened { name, selector, info: info.clone(), has_sixteen };
    all.push(opened.clone());
    Ok(opened)
}

/// Every device of these interfaces, and how it is called.
fn adapters(backends: wgpu::Backends) -> Vec<(WgpuDeviceKind, wgpu::AdapterInfo)> {
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let found: Vec<_> = read_sync(instance.enumerate_adapters(backends)).iter().map(wgpu::Adapter::get_info).collect();
    let of = |kind: DeviceType, name: fn(usize) -> WgpuDeviceKind| {
        let chosen = found.iter().filter(move |info| info.device_type == kind).cloned();
        chosen.enumerate().map(move |(number, info)| (name(number), info))
    };
    let mut all: Vec<_> = of(DeviceType::DiscreteGpu, WgpuDeviceKind::DiscreteGpu).collect();
    all.extend(of(DeviceType::IntegratedGpu, WgpuDeviceKind::IntegratedGpu));
    all.extend(of(DeviceType::VirtualGpu, WgpuDeviceKind::VirtualGpu));
    all.extend(of(DeviceType::Other, WgpuDeviceKind::Other));
    all.extend(of(DeviceType::Cpu, |_| WgpuDeviceKind::Cpu).take(1));
    all
}
