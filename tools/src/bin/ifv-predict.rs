//! `ifv-predict`: the objective an image was made for.

obverse_tools::main!(obverse_tools::tools::ifv_predict);
