//! Run-time compilation, kernel cache, devices and denoising steps
