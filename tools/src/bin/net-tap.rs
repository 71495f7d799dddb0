//! `net-tap`: what a node of a network computes.

obverse_tools::main!(obverse_tools::tools::net_tap);
