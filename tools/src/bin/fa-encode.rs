//! `fa-encode`: images to latents.

obverse_tools::main!(obverse_tools::tools::fa_encode);
