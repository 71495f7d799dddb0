//! Joins `.npy` parts along the first axis, a few rows at a time.

obverse_tools::main!(obverse_tools::tools::npy_cat);
