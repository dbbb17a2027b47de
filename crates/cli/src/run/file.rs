//! Safetensors files of the command line's contract: tensors, symbols and metadata.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use sparsym::ir::bind::{InputData, TableData};
use sparsym::ir::diagnostic::Family;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::projection::Stream;
use sparsym::ir::strategy::{Blocks, Element};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::tensor::Data;
use sparsym::ir::{Problem, Strategy, Tensor};
use sparsym::runtime::Error;

use crate::args::parse_grid;
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome};
use crate::output;

/// An input file in memory.
pub(super) struct InputFile {
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
    name: String,
}

/// A tensor of an output file.
pub(super) struct OutputTensor<'a> {
    /// Its name.
    pub(super) name: &'static str,
    /// Element type.
    pub(super) dtype: Dtype,
    /// Extents.
    pub(super) shape: Vec<usize>,
    /// Little-endian elements.
    pub(super) bytes: &'a [u8],
}

/// Tensors that a room reads by these names; `inputs.NAME` and `tables.NAME` besides.
const KNOWN: [&str; 6] = ["q", "k", "v", "s_c", "s_s", "cache"];
const BLOCK: u32 = 128;

impl<'a> OutputTensor<'a> {
    /// A tensor in its own type.
    pub(super) fn of(name: &'static str, tensor: &'a Tensor) -> OutputTensor<'a> {
        let dtype = match tensor.data {
            Data::F32(_) => Dtype::F32,
            Data::F16(_) => Dtype::F16,
            Data::Bf16(_) => Dtype::BF16,
        };
        OutputTensor { name, dtype, shape: tensor.shape.clone(), bytes: tensor.bytes() }
    }
}

impl InputFile {
    /// Reads and checks the file's frame.
    pub(super) fn read(path: &Path) -> Outcome<InputFile> {
        let name = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|error| Failure::data(format!("input {name} cannot be read: {error}")))?;
        let broken = |error| Failure::data(format!("input {name} is not a safetensors file: {error}"));
        let header: Metadata = SafeTensors::read_metadata(&bytes).map_err(broken)?.1;
        let metadata = header.metadata().clone().unwrap_or_default();
        SafeTensors::deserialize(&bytes).map_err(broken)?;
        Ok(InputFile { bytes, metadata, name })
    }

    /// A float tensor.
    pub(super) fn tensor(&self, name: &str) -> Outcome<Tensor> {
        self.find_tensor(name)?.ok_or_else(|| {
            let names = self.open().names().into_iter().map(str::to_owned).collect::<Vec<_>>();
            let has = if names.is_empty() { "no tensors".to_owned() } else { names.join(", ") };
            self.failure(format!("there is no tensor {name}; the file has {has}"))
        })
    }

    /// A float tensor, if the file has it.
    pub(super) fn find_tensor(&self, name: &str) -> Outcome<Option<Tensor>> {
        let Ok(view) = self.view(name) else { return Ok(None) };
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::F32 => Data::F32(bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect()),
            Dtype::F16 => Data::F16(bytes.as_chunks().0.iter().map(|c| f16::from_le_bytes(*c)).collect()),
            Dtype::BF16 => Data::Bf16(bytes.as_chunks().0.iter().map(|c| bf16::from_le_bytes(*c)).collect()),
            other => return Err(self.failure(format!("{name} is {other:?}; tensors are F32, F16 or BF16"))),
        };
        Ok(Some(Tensor { shape: view.shape().to_vec(), data }))
    }

    /// A symbol as one byte per decision, if the file has it; its shape must be `shape`, written as `axes` in messages.
    pub(super) fn symbol(&self, name: &str, shape: &[usize], axes: &str) -> Outcome<Option<Vec<u8>>> {
        let Ok(view) = self.view(name) else { return Ok(None) };
        if !matches!(view.dtype(), Dtype::U8 | Dtype::BOOL) {
            return Err(
                self.failure(format!("{name} is {:?}; symbols are U8, one byte per decision, 0 or 1", view.dtype()))
            );
        }
        if view.shape() != shape {
            return Err(self.failure(format!(
                "{name} has shape {:?}; this problem needs {axes} = {shape:?} (blocks are metadata block_q and block_kv)",
                view.shape()
            )));
        }
        match view.data().iter().position(|&byte| byte > 1) {
            Some(at) => {
                Err(self
                    .failure(format!("{name} holds {} at element {at}; symbols hold 0 and 1 only", view.data()[at])))
            }
            None => Ok(Some(view.data().to_vec())),
        }
    }

    /// The problem that q, k and the metadata describe.
    pub(super) fn problem(&self, q: &Tensor, k: &Tensor) -> Outcome<Problem> {
        for (name, tensor, axes) in [("q", q, "[B, N, H, D]"), ("k", k, "[B, N_kv, H_kv, D]")] {
            self.extents::<4>(name, tensor, axes)?;
        }
        let mut problem = Problem::self_attention(q.shape[0], q.shape[1], q.shape[2], q.shape[3]);
        (problem.n_kv, problem.kv_heads) = (k.shape[1], k.shape[2]);
        problem.blocks =
            Blocks { q: self.number("block_q")?.unwrap_or(BLOCK), kv: self.number("block_kv")?.unwrap_or(BLOCK) };
        problem.scale = self.number("scale")?.unwrap_or(problem.scale);
        problem.layout = self.layout(problem.n_q)?;
        problem.check().map_err(|findings| self.failure(findings))?;
        Ok(problem)
    }

    /// Gives `chosen` the tables and inputs that the file holds.
    pub(super) fn fill(&self, chosen: &mut Chosen) -> Outcome {
        let file = self.open();
        for name in file.names() {
            if let Some(table) = name.strip_prefix("tables.") {
                let id = chosen.strategy.tables.iter().position(|known| known.name == table);
                let id = id.ok_or_else(|| self.undeclared(name, &chosen.strategy))?;
                let triple = matches!(chosen.strategy.tables[id].element, Element::Three(_));
                let (mut shape, values) = self.numbers(name)?;
                if triple && shape.pop() != Some(3) {
                    return Err(self.failure(format!("{name} holds triples, so its last extent must be 3")));
                }
                chosen.tables[id] = Some(TableData { shape, values });
            } else if let Some(input) = name.strip_prefix("inputs.") {
                let id = chosen.strategy.inputs.iter().position(|known| known.name == input);
                let id = id.ok_or_else(|| self.undeclared(name, &chosen.strategy))?;
                chosen.inputs[id] = Some(InputData { values: self.numbers(name)?.1 });
            } else {
                self.note(name, &KNOWN);
            }
        }
        Ok(())
    }

    /// Notes on stderr each tensor that is not among those that are read.
    pub(super) fn note_others(&self, read: &[&str]) {
        self.open().names().into_iter().for_each(|name| self.note(name, read));
    }

    /// Not an error: a file may carry expected results beside the inputs.
    fn note(&self, name: &str, read: &[&str]) {
        if !read.contains(&name) {
            eprintln!("note: {} holds a tensor {name}, which is not read", self.name);
        }
    }

    /// The extents of a tensor of this rank, written as `axes` in messages.
    pub(super) fn extents<const R: usize>(&self, name: &str, tensor: &Tensor, axes: &str) -> Outcome<[usize; R]> {
        let (rank, shape) = (tensor.shape.len(), &tensor.shape);
        let words = || self.failure(format!("{name} has rank {rank}, shape {shape:?}; it must be {axes}"));
        shape.as_slice().try_into().map_err(|_| words())
    }

    /// The stream with the blocks of the metadata. Without S_c nothing depends on them.
    pub(super) fn stream(&self, stream: Stream) -> Outcome<Stream> {
        let block = match self.view("s_c") {
            Ok(_) => self.required("block_q", "which says how many tokens a decision of s_c is for")?,
            Err(_) => self.number("block_q")?.unwrap_or(BLOCK),
        };
        let extents = [("block_q", block as usize), ("C", stream.width), ("H", stream.heads), ("D", stream.head_dim)];
        match extents.iter().find(|(_, extent)| *extent == 0) {
            Some((name, _)) => Err(self.failure(format!("{name} is 0; a projection needs at least 1"))),
            None => Ok(Stream { block: block as usize, ..stream }),
        }
    }

    /// S_c of a projection, if the file has it.
    pub(super) fn cache_symbol(&self, stream: &Stream) -> Outcome<Option<CacheSymbol>> {
        let (batch, heads, blocks) = (stream.batch, stream.heads, stream.blocks());
        let bytes = self.symbol("s_c", &[batch, heads, blocks], "[B, H, T_q]")?;
        Ok(bytes.map(|bytes| CacheSymbol::pack(batch, heads, blocks, &bytes)))
    }

    /// A value of the metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A value of the metadata that must be there, and what for.
    pub(super) fn required<T: std::str::FromStr>(&self, key: &str, why: &str) -> Outcome<T> {
        self.number(key)?.ok_or_else(|| self.failure(format!("there is no metadata {key}, {why}")))
    }

    /// What a device says of a call: findings about shapes and values of a projection can only come from this file.
    pub(super) fn about_data(&self, error: Error) -> Failure {
        match error {
            Error::Findings(findings) if findings.iter().all(|f| f.code.family() == Family::Shape) => {
                self.failure(findings)
            }
            other => other.into(),
        }
    }

    /// A failure about this file.
    pub(super) fn failure(&self, message: impl std::fmt::Display) -> Failure {
        Failure::data(format!("input {}: {message}", self.name))
    }

    fn layout(&self, tokens: usize) -> Outcome<Layout> {
        let n_text: Option<usize> = self.number("text")?;
        let grid = self
            .metadata
            .get("grid")
            .map(|text| parse_grid(text).map_err(|words| self.failure(format!("metadata grid is {text:?}; {words}"))));
        let grid = grid.transpose()?;
        if n_text.is_none() && grid.is_none() {
            return Ok(Layout::default());
        }
        let n_text = n_text.unwrap_or(0);
        let rest = tokens
            .checked_sub(n_text)
            .ok_or_else(|| self.failure(format!("metadata text is {n_text}, more than the {tokens} tokens of q")))?;
        let vision = match grid {
            Some(grid) => LayoutRange { name: "vision".to_owned(), len: rest, grid: Some(grid) },
            None => LayoutRange::plain("vision", rest),
        };
        let text = LayoutRange::plain("text", n_text);
        match self.metadata("text_at") {
            None | Some("front") => Ok(Layout { ranges: vec![text, vision] }),
            Some("back") => Ok(Layout { ranges: vec![vision, text] }),
            Some(other) => Err(self.failure(format!("metadata text_at is {other:?}; it is front or back"))),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Outcome<Option<T>> {
        let parse = |text: &String| {
            text.trim()
                .parse()
                .map_err(|_| self.failure(format!("metadata {key} is {text:?}, which is not a number that fits")))
        };
        self.metadata.get(key).map(parse).transpose()
    }

    /// Shape and values of a tensor of any number type, as f32.
    fn numbers(&self, name: &str) -> Outcome<(Vec<usize>, Vec<f32>)> {
        let view = self.view(name)?;
        let bytes = view.data();
        let values: Vec<f64> = match view.dtype() {
            Dtype::U8 | Dtype::BOOL => bytes.iter().map(|&value| f64::from(value)).collect(),
            Dtype::I32 => bytes.as_chunks().0.iter().map(|c| f64::from(i32::from_le_bytes(*c))).collect(),
            Dtype::U32 => bytes.as_chunks().0.iter().map(|c| f64::from(u32::from_le_bytes(*c))).collect(),
            Dtype::I64 => bytes.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c) as f64).collect(),
            _ => {
                let tensor = self.tensor(name)?;
                return Ok((tensor.shape.clone(), tensor.to_f32()));
            }
        };
        match values.iter().find(|&&value| f64::from(value as f32) != value) {
            Some(value) => {
                Err(self.failure(format!("{name} holds {value}, which f32 cannot hold; integers stay below 2^24")))
            }
            None => Ok((view.shape().to_vec(), values.into_iter().map(|value| value as f32).collect())),
        }
    }

    fn undeclared(&self, name: &str, strategy: &Strategy) -> Failure {
        let declared: Vec<String> = strategy
            .tables
            .iter()
            .map(|table| format!("tables.{}", table.name))
            .chain(strategy.inputs.iter().map(|input| format!("inputs.{}", input.name)))
            .collect();
        let has = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
        self.failure(format!("{name} is not declared by {}, which declares {has}", strategy.snake_name()))
    }

    fn view(&self, name: &str) -> Outcome<TensorView<'_>> {
        self.open().tensor(name).map_err(|error| self.failure(error))
    }

    fn open(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("the frame was checked when the file was read")
    }
}

/// Writes the tensors to a safetensors file, whole or not at all.
pub(super) fn write(path: &Path, tensors: &[OutputTensor<'_>]) -> Outcome {
    let failure = |error| Failure::data(format!("{} cannot be written: {error}", path.display()));
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|tensor| Ok((tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), tensor.bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(failure)?;
    output::write_file(path, &safetensors::serialize(views, None).map_err(failure)?)
}
