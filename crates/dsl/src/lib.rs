//! The strategy language: the macro, the IR it makes, and a prelude
