//! `pixelcnn-fit`: trains a density model of images, conditional on what a layer computes of them.

obverse_tools::main!(obverse_tools::tools::pixelcnn_fit);
