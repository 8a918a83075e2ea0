//! A small HTTP service that issues API keys: an example, and a double for tests.
