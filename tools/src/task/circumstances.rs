//! When a run was made, by which build, on which machine, and what it cost.

use std::time::SystemTime;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use obverse::store::sidecar::Circumstances;

/// When a run was made, by which build, on which machine.
pub(super) fn circumstances() -> Circumstances {
    Circumstances {
        date: Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
        revision: option_env!("OBVERSE_REVISION").filter(|revision| !revision.is_empty()).map(str::to_owned),
        device: Some("cpu".to_owned()),
        processor: processor(),
        threads: Some(rayon::current_num_threads()),
    }
}

/// The features of the processor that decide which kernels compute.
#[cfg(target_arch = "x86_64")]
fn processor() -> Vec<String> {
    let features = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    let here = features.into_iter().filter(|(_, here)| *here).map(|(name, _)| name);
    std::iter::once("x86_64").chain(here).map(str::to_owned).collect()
}

/// The kind of processor.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}

/// The processor seconds and the most bytes of memory that this process has used so far.
pub(super) fn cost() -> Option<(f64, u64)> {
    /// The unit of the largest resident size: a kilobyte, except on Apple's systems.
    const UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    let peak = match own_peak() {
        Some(bytes) => bytes,
        None => u64::try_from(usage.max_rss()).ok()? * UNIT,
    };
    Some((seconds(usage.user_time()) + seconds(usage.system_time()), peak))
}

/// The peak that Linux keeps for the program itself: the other one counts what the process was before it became this program, such as a
/// large notebook.
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
