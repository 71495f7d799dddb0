//! `fid-score`: how far apart two sets of images are.

obverse_tools::main!(obverse_tools::tools::fid_score);
