//! Writes the outputs of a run as one HTML page.

obverse_tools::main!(obverse_tools::tools::report);
