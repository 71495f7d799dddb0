//! `obverse-manual`: man pages and completions of all tools.

obverse_tools::main!(obverse_tools::tools::obverse_manual);
