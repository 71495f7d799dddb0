//! `pixelcnn-sample`: draws images from a density model, whole or completing upper parts.

obverse_tools::main!(obverse_tools::tools::pixelcnn_sample);
