//! `nearest`: the rows of a pool that are nearest to each query.

obverse_tools::main!(obverse_tools::tools::nearest);
