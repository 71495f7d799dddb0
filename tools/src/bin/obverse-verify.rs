//! Checks outputs against their sidecars.

obverse_tools::main!(obverse_tools::tools::obverse_verify);
