//! Shows images as a grid, curves and points as a plot, in a PNG file or in the terminal.

obverse_tools::main!(obverse_tools::tools::npy_view);
