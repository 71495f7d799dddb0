//! What feature alignment is compared with (section 5) on the same encoders: autoencoders, GANs; and plain classifiers.

pub mod autoencoder;
pub mod classifier;
pub mod gan;
pub mod inverter;
