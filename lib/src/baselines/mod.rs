//! What feature alignment is compared with (section 5) on the same encoders: autoencoders, GANs; plain classifiers, whole or their last layer;
//! and networks fitted to images.

pub mod autoencoder;
pub mod classifier;
pub mod gan;
pub mod head;
pub mod regressor;
