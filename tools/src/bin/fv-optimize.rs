//! `fv-optimize`: the image that a unit of a network wants.

obverse_tools::main!(obverse_tools::tools::fv_optimize);
