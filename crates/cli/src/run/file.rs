//! Safetensors files of the command line's contract: tensors, symbols and metadata.

use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorView};
use sparsym::Error;
use sparsym::ir::bind::{InputData, TableData};
use sparsym::ir::diagnostic::Family;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::projection::Stream;
use sparsym::ir::strategy::{Blocks, Element, Table};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::tensor::Data;
use sparsym::ir::{Code, Findings, Moment, Problem, Strategy, Tensor};

use super::metadata;
use super::ragged::INDEX_POINTERS;
use crate::args::parse_grid;
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome, in_words_of};
use crate::tables;
use crate::write::write_file;

/// An input file in memory.
pub(crate) struct InputFile {
    /// Names, types and places of tensors; checked against the data.
    header: Metadata,
    data: Vec<u8>,
    name: String,
}

/// A tensor of an output file.
#[derive(Clone)]
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
/// Bytes that tell the length of the header, and the most of it.
const LENGTH_BYTES: usize = 8;
const MOST_HEADER: u64 = 100_000_000;
/// Names that a message lists.
const LISTED: usize = 10;

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
    pub(crate) fn read(path: &Path) -> Outcome<InputFile> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| Failure::data(format!("input {name} cannot be read: {error}"));
        let broken = |why: String| Failure::data(format!("input {name} is not a safetensors file: {why}"));
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let mut read = |bytes: u64| -> Outcome<Vec<u8>> {
            let mut buffer = Vec::new();
            (&mut file).take(bytes).read_to_end(&mut buffer).map_err(unreadable)?;
            Ok(buffer)
        };
        let length = read(LENGTH_BYTES as u64)?.try_into().map(u64::from_le_bytes);
        let length = length.map_err(|_| broken("it ends within the length of its header".to_owned()))?;
        if length > MOST_HEADER {
            return Err(broken(format!("its header would have {length} bytes, more than {MOST_HEADER}")));
        }
        let header = read(length)?;
        if header.len() as u64 != length {
            return Err(broken("it ends within its header".to_owned()));
        }
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| broken(error.to_string()))?;
        let needed = header.data_len();
        let data = read((needed as u64).saturating_add(1))?;
        if data.len() != needed {
            let more = if data.len() > needed { "more" } else { "fewer" };
            return Err(broken(format!("its header tells of {needed} bytes of data, and there are {more}")));
        }
        let file = InputFile { header, data, name };
        file.check_metadata()?;
        Ok(file)
    }

    /// Refuses mistyped keys, and notes on stderr those that no room reads.
    fn check_metadata(&self) -> Outcome {
        let keys = self.header.metadata().iter().flatten().map(|(key, _)| key.as_str());
        let foreign = metadata::foreign(keys).map_err(|[key, meant]| {
            self.failure(format!("metadata {key} is nothing that is read\nhelp: did you mean {meant}?"))
        })?;
        if !foreign.is_empty() {
            eprintln!("note: {} has metadata that is not read: {}", self.name, list(&foreign));
        }
        Ok(())
    }

    /// All tensors, in order of their names.
    fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort_unstable();
        names
    }

    /// A float tensor.
    pub(super) fn tensor(&self, name: &str) -> Outcome<Tensor> {
        self.find_tensor(name)?.ok_or_else(|| {
            let names = self.names();
            let has = if names.is_empty() { "no tensors".to_owned() } else { list(&names) };
            self.failure(format!("there is no tensor {name}; the file has {has}"))
        })
    }

    /// A float tensor, if the file has it.
    pub(super) fn find_tensor(&self, name: &str) -> Outcome<Option<Tensor>> {
        let Some(view) = self.view(name)? else { return Ok(None) };
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
        let Some(view) = self.view(name)? else { return Ok(None) };
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
        let mut problem = self.packed(problem, q, k)?;
        problem.blocks =
            Blocks { q: self.number("block_q")?.unwrap_or(BLOCK), kv: self.number("block_kv")?.unwrap_or(BLOCK) };
        problem.scale = self.number("scale")?.unwrap_or(problem.scale);
        problem.layout = self.layout(problem.n_q)?;
        problem.check().map_err(|findings| self.failure(findings))?;
        Ok(problem)
    }

    /// Gives `chosen` the step, the layer, the tables and the inputs that the file holds, tables also as JSON in its metadata.
    pub(super) fn fill(&self, chosen: &mut Chosen, problem: &Problem) -> Outcome {
        let names = self.names();
        let mut unread = Vec::new();
        for name in &names {
            if let Some(table) = name.strip_prefix("tables.") {
                let id = chosen.strategy.tables.iter().position(|known| known.name == table);
                let id = id.ok_or_else(|| self.undeclared(name, &chosen.strategy))?;
                chosen.tables[id] = Some(self.table(name, &chosen.strategy.tables[id])?);
            } else if let Some(input) = name.strip_prefix("inputs.") {
                let id = chosen.strategy.inputs.iter().position(|known| known.name == input);
                let id = id.ok_or_else(|| self.undeclared(name, &chosen.strategy))?;
                let (shape, values) = self.numbers(name)?;
                let declared = &chosen.strategy.inputs[id];
                declared.check_shape(&shape, problem).map_err(|finding| self.failure(finding))?;
                chosen.inputs[id] = Some(InputData { values });
            } else if !KNOWN.contains(&name.as_str()) && !INDEX_POINTERS.contains(&name.as_str()) {
                unread.push(name);
            }
        }
        for (key, text) in self.header.metadata().iter().flatten() {
            let Some(table) = key.strip_prefix("tables.") else { continue };
            let id = chosen.strategy.tables.iter().position(|known| known.name == table);
            let id = id.ok_or_else(|| self.undeclared(key, &chosen.strategy))?;
            let data = tables::from_json(&chosen.strategy.tables[id], text);
            chosen.tables[id] = Some(data.map_err(|words| self.failure(format!("metadata {key}: {words}")))?);
        }
        self.note(&unread);
        self.moment(&mut chosen.moment)
    }

    /// The step and layer of the metadata.
    fn moment(&self, moment: &mut Moment) -> Outcome {
        if let Some(step) = self.number("step")? {
            (moment.step, moment.since_update) = (step, step);
        }
        moment.steps = self.number("steps")?.unwrap_or(moment.steps);
        moment.layer = self.number("layer")?.unwrap_or(moment.layer);
        moment.since_update = self.number("since_update")?.unwrap_or(moment.since_update);
        Ok(())
    }

    /// The entries of a table, as numbers.
    pub(crate) fn table(&self, name: &str, table: &Table) -> Outcome<TableData> {
        let (mut shape, values) = self.numbers(name)?;
        if matches!(table.element, Element::Three(_)) && shape.pop() != Some(3) {
            return Err(self.failure(format!("{name} holds triples, so its last extent must be 3")));
        }
        table.data(&shape, values).map_err(|finding| self.failure(finding))
    }

    /// Whether the file has a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// Notes on stderr which tensors are not among those that are read.
    pub(super) fn note_others(&self, read: &[&str]) {
        let names = self.names();
        self.note(&names.iter().filter(|name| !read.contains(&name.as_str())).collect::<Vec<_>>());
    }

    /// Not an error: a file may carry expected results beside the inputs.
    fn note(&self, unread: &[&String]) {
        match unread {
            [] => {}
            [name] => eprintln!("note: {} holds a tensor {name}, which is not read", self.name),
            _ => eprintln!("note: {} holds {} tensors that are not read: {}", self.name, unread.len(), list(unread)),
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
        let block: u32 = match self.has("s_c") {
            true => self.required("block_q", "which says how many tokens a decision of s_c is for")?,
            false => self.number("block_q")?.unwrap_or(BLOCK),
        };
        let stream = Stream { block: block as usize, ..stream };
        stream.check().map_err(|findings| self.failure(findings))?;
        Ok(stream)
    }

    /// S_c of a projection, if the file has it.
    pub(super) fn cache_symbol(&self, stream: &Stream) -> Outcome<Option<CacheSymbol>> {
        let (batch, heads, blocks) = (stream.batch, stream.heads, stream.blocks());
        let bytes = self.symbol("s_c", &[batch, heads, blocks], "[B, H, T_q]")?;
        Ok(bytes.map(|bytes| CacheSymbol::pack(batch, heads, blocks, &bytes)))
    }

    /// A value of the metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// A value of the metadata that must be there, and what for.
    pub(super) fn required<T: std::str::FromStr>(&self, key: &str, why: &str) -> Outcome<T> {
        self.number(key)?.ok_or_else(|| self.failure(format!("there is no metadata {key}, {why}")))
    }

    /// What a device says of a projection: findings about shapes and values can only come from this file.
    pub(super) fn about_data(&self, error: Error) -> Failure {
        match error.downcast_ref::<Findings>() {
            Some(findings) if findings.iter().all(|finding| finding.code.family() == Family::Shape) => {
                self.failure(findings)
            }
            _ => self.about_call(error),
        }
    }

    /// What a device says of a call of a strategy: types, head dimensions and blocks without a kernel are those of this
    /// file, and so are shapes, but not params.
    pub(super) fn about_call(&self, error: impl Into<Error>) -> Failure {
        let error = error.into();
        let of_kernels = |code| matches!(code, Code::NoTile | Code::HeadDimension | Code::KernelType);
        match error.downcast_ref::<Findings>() {
            Some(findings) if findings.iter().all(|finding| of_kernels(finding.code)) => self.failure(findings),
            Some(findings) => {
                let layout = "give the extents as metadata grid, T,H,W, and the tokens of text as metadata text";
                in_words_of(findings.clone(), layout).into()
            }
            None => error.into(),
        }
    }

    /// A failure about this file.
    pub(super) fn failure(&self, message: impl std::fmt::Display) -> Failure {
        Failure::data(format!("input {}: {message}", self.name))
    }

    fn layout(&self, tokens: usize) -> Outcome<Layout> {
        let n_text: Option<usize> = self.number("text")?;
        let grid = self
            .metadata("grid")
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
        let parse = |text: &str| {
            text.trim()
                .parse()
                .map_err(|_| self.failure(format!("metadata {key} is {text:?}, which is not a number that fits")))
        };
        self.metadata(key).map(parse).transpose()
    }

    /// Shape and values of a tensor of any number type, as f32. What f32 would round is refused.
    pub(crate) fn numbers(&self, name: &str) -> Outcome<(Vec<usize>, Vec<f32>)> {
        let Some(view) = self.view(name)? else { return Err(self.failure(format!("there is no tensor {name}"))) };
        let bytes = view.data();
        let integers: Vec<i128> = match view.dtype() {
            Dtype::U8 | Dtype::BOOL => bytes.iter().map(|&value| value.into()).collect(),
            Dtype::I8 => bytes.iter().map(|&value| (value as i8).into()).collect(),
            Dtype::U16 => bytes.as_chunks().0.iter().map(|c| u16::from_le_bytes(*c).into()).collect(),
            Dtype::I16 => bytes.as_chunks().0.iter().map(|c| i16::from_le_bytes(*c).into()).collect(),
            Dtype::U32 => bytes.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c).into()).collect(),
            Dtype::I32 => bytes.as_chunks().0.iter().map(|c| i32::from_le_bytes(*c).into()).collect(),
            Dtype::U64 => bytes.as_chunks().0.iter().map(|c| u64::from_le_bytes(*c).into()).collect(),
            Dtype::I64 => bytes.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c).into()).collect(),
            _ => {
                let tensor = self.tensor(name)?;
                return Ok((tensor.shape.clone(), tensor.to_f32()));
            }
        };
        let mut rounded = integers.iter().filter(|&&value| value as f32 as i128 != value);
        match rounded.next() {
            Some(value) => {
                let more = match rounded.count() {
                    0 => String::new(),
                    more => format!(" and {more} more values"),
                };
                let words = format!("{name} holds {value}{more}, which f32 cannot hold; integers stay below 2^24");
                Err(self.failure(words))
            }
            None => Ok((view.shape().to_vec(), integers.into_iter().map(|value| value as f32).collect())),
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

    fn view(&self, name: &str) -> Outcome<Option<TensorView<'_>>> {
        let Some(info) = self.header.info(name) else { return Ok(None) };
        let (start, end) = info.data_offsets;
        TensorView::new(info.dtype, info.shape.clone(), &self.data[start..end])
            .map(Some)
            .map_err(|error| self.failure(format!("{name}: {error}")))
    }
}

/// `a, b, c and 7 more`.
fn list(names: &[impl AsRef<str>]) -> String {
    let listed: Vec<&str> = names.iter().take(LISTED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(LISTED) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
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
    write_file(path, &safetensors::serialize(views, None).map_err(failure)?)
}
