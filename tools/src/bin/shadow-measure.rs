//! `shadow-measure`: the theory of reverse nets beside measurements, and trainings beside each other.

obverse_tools::main!(obverse_tools::tools::shadow_measure);
