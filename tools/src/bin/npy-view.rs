//! Shows images as a grid, in a PNG file or in the terminal.

obverse_tools::main!(obverse_tools::tools::npy_view);
