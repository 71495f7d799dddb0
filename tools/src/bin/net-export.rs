//! `net-export`: a network folder as a file of other programs.

obverse_tools::main!(obverse_tools::tools::net_export);
