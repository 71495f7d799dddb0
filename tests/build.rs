//! Says what this machine has that some tests take, as a `cfg` each: tests are ignored where it is missing, and counted so.
//!
//! Cargo asks again when `PATH`, `OBVERSE_MIRROR` or this file changes; after installing a program, `touch tests/build.rs`.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a command ends well, and says nothing here.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program is on the path, whatever it says of being started without a configuration.
fn exists(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Whether a mirror of the datasets is named; one that is named and not there is an error of the tests.
fn has_mirror() -> bool {
    std::env::var_os("OBVERSE_MIRROR").is_some_and(|folder| !folder.is_empty())
}

/// Whether this is root on a machine with Slurm and munge.
fn has_slurm() -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    is_root && ["munged", "slurmctld", "slurmd", "sbatch"].iter().all(|name| exists(name))
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["PATH", "OBVERSE_MIRROR"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let kinds = [
        ("mirror", has_mirror()),
        ("just", runs("just", &["--version"])),
        ("man", runs("man", &["--version"])),
        ("bash", runs("bash", &["--version"])),
        ("chromedriver", runs("chromedriver", &["--version"])),
        ("slurm", has_slurm()),
        // strace needs leave to trace, which some containers do not give.
        ("strace", runs("strace", &["-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"])),
        ("dev_full", Path::new("/dev/full").exists()),
    ];
    for (kind, is_here) in kinds {
        println!("cargo::rustc-check-cfg=cfg({kind})");
        if is_here {
            println!("cargo::rustc-cfg={kind}");
        }
    }
}
