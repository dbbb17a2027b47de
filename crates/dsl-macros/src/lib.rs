//! The strategy! macro
