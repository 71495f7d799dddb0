//! Tells `tests/faults.rs` whether strace can inject faults here: where it cannot, its tests are ignored, and counted so.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(strace)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"]);
    let runs = strace.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    match runs {
        true => println!("cargo::rustc-cfg=strace"),
        // A file that is not there: cargo asks again each time.
        false => println!("cargo::rerun-if-changed=no-strace"),
    }
}
