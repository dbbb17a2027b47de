//! Buffers of floats that are kept between calls. A denoising run makes the same call thousands of times, and fresh pages
//! from the operating system cost more than a sparse call's conversion of K and V.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Most bytes that idle buffers may hold.
pub(crate) const KEPT_BYTES: usize = 64 << 20;

static IDLE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Floats of any value: what an earlier call left behind.
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// An idle buffer or a new one.
    pub(crate) fn new(len: usize) -> Buffer {
        let mut idle = lock();
        let fits = idle.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= len);
        let smallest = fits.min_by_key(|(_, buffer)| buffer.capacity()).map(|(index, _)| index);
        let kept = smallest.map(|index| idle.remove(index));
        drop(idle);
        match kept {
            Some(mut buffer) => {
                buffer.resize(len, 0.0);
                Buffer(buffer)
            }
            None => Buffer(vec![0.0; len]),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = lock();
        idle.push(std::mem::take(&mut self.0));
        // The oldest go first: they are the ones that no recent call found fitting.
        let bytes = |buffer: &Vec<f32>| buffer.capacity() * size_of::<f32>();
        while idle.iter().map(bytes).sum::<usize>() > KEPT_BYTES {
            idle.remove(0);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// A panic elsewhere leaves the list whole, so poison says nothing.
fn lock() -> MutexGuard<'static, Vec<Vec<f32>>> {
    IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_buffers_stay_below_the_limit() {
        let quarter = KEPT_BYTES / size_of::<f32>() / 4;
        drop((0..9).map(|n| Buffer::new(quarter - n)).collect::<Vec<_>>());
        assert!(lock().iter().map(|buffer| buffer.capacity() * size_of::<f32>()).sum::<usize>() <= KEPT_BYTES);
        assert_eq!(Buffer::new(quarter - 100).len(), quarter - 100);
    }
}
