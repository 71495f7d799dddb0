//! `fa-invert`: latents to images.

obverse_tools::main!(obverse_tools::tools::fa_invert);
