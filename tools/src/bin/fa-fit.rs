//! `fa-fit`: trains an encoder by feature alignment.

obverse_tools::main!(obverse_tools::tools::fa_fit);
