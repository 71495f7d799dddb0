//! Prints what sidecars say of outputs as a table.

obverse_tools::main!(obverse_tools::tools::obverse_table);
