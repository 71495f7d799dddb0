//! `net-fit`: trains the networks that feature alignment is compared with, and classifiers.

obverse_tools::main!(obverse_tools::tools::net_fit);
