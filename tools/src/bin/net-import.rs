//! `net-import`: weights of other programs as a network folder.

obverse_tools::main!(obverse_tools::tools::net_import);
