//! Rotates API keys of any provider that a declaration describes.
