//! `mi-bound`: how many nats of its input a layer still knows.

obverse_tools::main!(obverse_tools::tools::mi_bound);
