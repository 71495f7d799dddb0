//! Datasets: fetched, imported from their own formats, drawn, warped, described. All become the same folder.

obverse_tools::main!(obverse_tools::tools::dataset);
