//! `shadow-measure`: the theory of reverse nets beside measurements.

obverse_tools::main!(obverse_tools::tools::shadow_measure);
