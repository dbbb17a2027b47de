//! Loads the corpus and compares devices.
