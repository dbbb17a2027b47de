//! The binary, and files to feed it.
#![allow(dead_code)] // each test file uses a part

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;

/// The binary with these arguments, in an empty folder of its own and with a cache of its own.
pub(crate) fn sparsym(folder: &Path, args: &[&str]) -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("sparsym");
    command.current_dir(folder).env("SPARSYM_CACHE", folder.join("cache")).args(args);
    command
}

/// What a failing command says on stderr. Its stdout must be empty and its exit status `status`.
pub(crate) fn failure(folder: &Path, args: &[&str], status: i32) -> String {
    let output = sparsym(folder, args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{args:?} said: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed on stdout");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// What a successful command prints on stdout.
pub(crate) fn success(folder: &Path, args: &[&str]) -> String {
    let output = sparsym(folder, args).output().unwrap();
    assert!(output.status.success(), "{args:?} said: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON object of a successful command.
pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&success(folder, &args)).unwrap()
}

/// A file to be written: tensors by name, and metadata.
#[derive(Default)]
pub(crate) struct File {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl File {
    /// q, k and v of one batch item and these extents, with blocks of 16; values vary from element to element.
    pub(crate) fn attention(tokens: usize, heads: usize, kv_heads: usize, head_dim: usize) -> File {
        let values = |n: usize, phase: f32| (0..n).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
        let (q, kv) = ([1, tokens, heads, head_dim], [1, tokens, kv_heads, head_dim]);
        File::default()
            .f32("q", &q, &values(q.iter().product(), 0.0))
            .f32("k", &kv, &values(kv.iter().product(), 1.0))
            .f32("v", &kv, &values(kv.iter().product(), 2.0))
            .meta("block_q", "16")
            .meta("block_kv", "16")
    }

    /// The same tensors as F16, in blocks that kernels have tiles for.
    pub(crate) fn for_kernels(mut self) -> File {
        for (_, dtype, _, bytes) in self.tensors.iter_mut().filter(|tensor| tensor.1 == Dtype::F32) {
            let halves = bytes.as_chunks().0.iter().map(|chunk| f16::from_f32(f32::from_le_bytes(*chunk)));
            (*dtype, *bytes) = (Dtype::F16, halves.flat_map(f16::to_le_bytes).collect());
        }
        self.meta("block_q", "128").meta("block_kv", "128")
    }

    pub(crate) fn f32(self, name: &str, shape: &[usize], values: &[f32]) -> File {
        self.raw(name, Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn u8(self, name: &str, shape: &[usize], values: &[u8]) -> File {
        self.raw(name, Dtype::U8, shape, values.to_vec())
    }

    /// Replaces a tensor of that name.
    pub(crate) fn raw(mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> File {
        self.tensors.retain(|(known, ..)| known != name);
        self.tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
        self
    }

    /// Takes a tensor out.
    pub(crate) fn without(mut self, name: &str) -> File {
        self.tensors.retain(|(known, ..)| known != name);
        self
    }

    /// Takes a value of the metadata out.
    pub(crate) fn without_meta(mut self, key: &str) -> File {
        self.metadata.remove(key);
        self
    }

    pub(crate) fn meta(mut self, key: &str, value: &str) -> File {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Writes the file and gives its path.
    pub(crate) fn write(self, folder: &Path) -> PathBuf {
        let views = self
            .tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        let path = folder.join("in.safetensors");
        std::fs::write(&path, safetensors::serialize(views, Some(self.metadata.clone())).unwrap()).unwrap();
        path
    }
}

/// The f32 values of a tensor of a file.
pub(crate) fn read_f32(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32);
    (view.shape().to_vec(), view.data().chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect())
}

/// The values of an F16 tensor of a file.
pub(crate) fn read_f16(path: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F16);
    view.data().as_chunks().0.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()).collect()
}

/// The bytes of a U8 tensor of a file.
pub(crate) fn read_u8(path: &Path, name: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::U8);
    (view.shape().to_vec(), view.data().to_vec())
}
