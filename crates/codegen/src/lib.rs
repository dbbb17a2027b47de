//! Strategy IR and problem to readable CUDA text
