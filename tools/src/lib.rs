//! The conventions that all tools share.
