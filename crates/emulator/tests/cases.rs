//! One case for each instruction form: values by hand, or from the definitions of the PTX ISA.
//!
//! A file of `cases` holds blocks. `form` says which row of the table a block is about, as `docs/isa.md` writes it; `in` and
//! `out` name registers; `run` is PTX that makes the outputs from the inputs, and each line below it is one thread: inputs,
//! an arrow, outputs. `also` runs the same values through another spelling. Numbers are hexadecimal; in columns of floats
//! `1.5`, `inf` and `nan` may stand, and `~2ulp` or `~2^-22` after an output is how far off it may be: in units of the last
//! place, or relative to the value. Every block becomes a whole module, which a GPU's driver would take too.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use ptx_emulator::{FormInfo, Launch, LaunchError, Memory, Options, Program, forms};

struct Block {
    /// File and line.
    place: String,
    form: String,
    target: String,
    inputs: Vec<Register>,
    outputs: Vec<Register>,
    run: String,
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Register {
    name: String,
    kind: String,
}

#[derive(Clone)]
struct Line {
    number: usize,
    inputs: Vec<u64>,
    wanted: Result<Vec<Wanted>, String>,
}

#[derive(Clone, Copy)]
struct Wanted {
    value: u64,
    within: Tolerance,
}

#[derive(Clone, Copy)]
enum Tolerance {
    Exact,
    UnitsOfLastPlace(f64),
    Relative(f64),
}

impl Register {
    fn parse(text: &str) -> Register {
        let (name, kind) = text.split_once(':').unwrap_or_else(|| panic!("{text} has no type"));
        Register { name: name.to_owned(), kind: kind.to_owned() }
    }

    /// Bits of its value.
    fn bits(&self) -> u32 {
        match self.kind.as_str() {
            "pred" => 1,
            "b8" => 8,
            "b16" | "f16" | "bf16" => 16,
            "b32" | "f32" | "f16x2" | "bf16x2" => 32,
            "b64" | "f64" => 64,
            other => panic!("{other} is no type of a case"),
        }
    }

    /// The register class that PTX keeps it in.
    fn class(&self) -> String {
        if self.kind == "pred" { "pred".to_owned() } else { format!("b{}", self.bits().max(16)) }
    }

    fn value(&self, text: &str) -> u64 {
        let named = match text.trim_start_matches('-') {
            "inf" => Some(f64::INFINITY),
            "nan" => return if self.kind == "f64" { 0x7FFF_FFFF_FFFF_FFFF } else { 0x7FFF_FFFF },
            number if number.contains('.') => number.parse().ok(),
            _ => None,
        };
        if let Some(magnitude) = named {
            let value: f64 = if text.starts_with('-') { -magnitude } else { magnitude };
            return match self.kind.as_str() {
                "f32" => u64::from((value as f32).to_bits()),
                "f64" => value.to_bits(),
                other => panic!("{text} in a column of {other}: write the bits"),
            };
        }
        let digits = text.trim_start_matches('-');
        let value = u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no number"));
        let value = if text.starts_with('-') { value.wrapping_neg() } else { value };
        value & (u64::MAX >> (64 - self.bits()))
    }

    /// Parts of a value that are floats of their own, with how they become numbers and the distance between neighbours.
    fn floats(&self, bits: u64) -> Vec<(f64, f64)> {
        let small = |bits: u64, fraction: i32, bias: i32| {
            let exponent = (bits >> fraction & ((1 << (15 - fraction)) - 1)) as i32;
            let least = (exponent.max(1) - bias - fraction) as f64;
            let significand = (bits & ((1 << fraction) - 1)) + if exponent > 0 { 1 << fraction } else { 0 };
            let value = significand as f64 * least.exp2();
            (if bits >> 15 & 1 == 1 { -value } else { value }, least.exp2())
        };
        match self.kind.as_str() {
            "f32" => {
                let value = f32::from_bits(bits as u32);
                let least = f64::from(value.abs().next_up()) - f64::from(value.abs());
                vec![(f64::from(value), least)]
            }
            "f64" => vec![(f64::from_bits(bits), f64::from_bits(bits).abs().next_up() - f64::from_bits(bits).abs())],
            "f16" => vec![small(bits, 10, 15)],
            "bf16" => vec![small(bits, 7, 127)],
            "f16x2" => vec![small(bits & 0xFFFF, 10, 15), small(bits >> 16, 10, 15)],
            "bf16x2" => vec![small(bits & 0xFFFF, 7, 127), small(bits >> 16, 7, 127)],
            other => panic!("a tolerance in a column of {other}"),
        }
    }

    fn is_near(&self, found: u64, wanted: Wanted) -> bool {
        let pairs = || self.floats(found).into_iter().zip(self.floats(wanted.value));
        // PTX does not say which NaN comes out of f64.
        let is_nan = |bits: u64| self.kind == "f64" && f64::from_bits(bits).is_nan();
        found == wanted.value
            || is_nan(found) && is_nan(wanted.value)
            || match wanted.within {
                Tolerance::Exact => false,
                Tolerance::UnitsOfLastPlace(units) => pairs().all(|((a, _), (b, unit))| (a - b).abs() <= units * unit),
                Tolerance::Relative(bound) => pairs().all(|((a, _), (b, _))| (a - b).abs() <= bound * b.abs()),
            }
    }
}

impl Line {
    fn parse(number: usize, text: &str, inputs: &[Register], outputs: &[Register]) -> Line {
        let (given, wanted) = text.split_once("->").unwrap_or_else(|| panic!("line {number} has no arrow: {text}"));
        let given: Vec<_> = given.split_whitespace().collect();
        assert_eq!(given.len(), inputs.len(), "line {number}: inputs");
        let inputs = inputs.iter().zip(given).map(|(register, text)| register.value(text)).collect();
        if let Some(fault) = wanted.trim().strip_prefix("fault ") {
            return Line { number, inputs, wanted: Err(fault.to_owned()) };
        }
        let mut values: Vec<Wanted> = Vec::new();
        for word in wanted.split_whitespace() {
            match word.strip_prefix('~') {
                Some(bound) => {
                    values.last_mut().expect("a value stands before its tolerance").within = tolerance(bound)
                }
                None => {
                    let register =
                        outputs.get(values.len()).unwrap_or_else(|| panic!("line {number}: too many outputs"));
                    values.push(Wanted { value: register.value(word), within: Tolerance::Exact });
                }
            }
        }
        assert_eq!(values.len(), outputs.len(), "line {number}: outputs");
        Line { number, inputs, wanted: Ok(values) }
    }
}

fn tolerance(text: &str) -> Tolerance {
    if let Some(units) = text.strip_suffix("ulp") {
        return Tolerance::UnitsOfLastPlace(units.parse().expect("a number of units"));
    }
    let power = text.strip_prefix("2^").and_then(|power| power.parse::<f64>().ok());
    Tolerance::Relative(power.unwrap_or_else(|| panic!("~{text} is no tolerance")).exp2())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The texts of a folder, by name.
fn texts(name: &str, extension: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    let read =
        |path: &PathBuf| (path.file_name().unwrap().display().to_string(), std::fs::read_to_string(path).unwrap());
    files.iter().map(read).collect()
}

fn blocks() -> Vec<Block> {
    texts("cases", "case").iter().flat_map(|(name, text)| parse(name, text)).collect()
}

fn parse(file: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // First of the blocks that share the lines at hand.
    let mut first = 0;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            _ if line.trim().is_empty() => {}
            "form" => {
                let (form, target) = rest.split_once(" since ").unwrap_or((rest, "sm_80"));
                first = blocks.len();
                blocks.push(Block {
                    place: format!("{file}:{number}"),
                    form: form.trim().to_owned(),
                    target: target.to_owned(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                    run: String::new(),
                    lines: Vec::new(),
                });
            }
            "in" => {
                let (inputs, outputs) =
                    rest.split_once(" out ").or(rest.strip_prefix("out ").map(|out| ("", out))).unwrap();
                let block = blocks.last_mut().unwrap();
                block.inputs = inputs.split_whitespace().map(Register::parse).collect();
                block.outputs = outputs.split_whitespace().map(Register::parse).collect();
            }
            "run" => blocks.last_mut().unwrap().run = rest.to_owned(),
            "also" => {
                let model = &blocks[first];
                let spelling = model.run.split_whitespace().next().unwrap();
                let run = model.run.replacen(spelling, rest, 1);
                let block = Block {
                    place: format!("{file}:{number}"),
                    form: model.form.clone(),
                    target: model.target.clone(),
                    inputs: model.inputs.clone(),
                    outputs: model.outputs.clone(),
                    lines: model.lines.clone(),
                    run,
                };
                blocks.push(block);
            }
            "" => {
                let line = Line::parse(number, line, &blocks[first].inputs, &blocks[first].outputs);
                blocks[first..].iter_mut().for_each(|block| block.lines.push(line.clone()));
            }
            other => panic!("{file}:{number}: {other} begins no line of a case"),
        }
    }
    blocks
}

impl Block {
    /// The block as a module: each thread takes a line of inputs and leaves a line of outputs.
    fn module(&self) -> String {
        let mut body = String::new();
        for register in self.inputs.iter().chain(&self.outputs) {
            let _ = writeln!(body, "    .reg .{} %{};", register.class(), register.name);
        }
        for (at, register) in self.inputs.iter().enumerate() {
            let Register { name, .. } = register;
            let _ = match register.bits() {
                1 => writeln!(body, "    ld.global.b64 %wide, [%in+{}];\n    setp.ne.b64 %{name}, %wide, 0;", 8 * at),
                bits => writeln!(body, "    ld.global.b{bits} %{name}, [%in+{}];", 8 * at),
            };
        }
        let _ = writeln!(body, "    {}", self.run);
        for (at, register) in self.outputs.iter().enumerate() {
            let Register { name, .. } = register;
            let _ = match register.bits() {
                1 => writeln!(body, "    selp.b64 %wide, 1, 0, %{name};\n    st.global.b64 [%out+{}], %wide;", 8 * at),
                // All bits of the register, not only those of the type: nothing may be left above.
                8 | 16 => {
                    writeln!(body, "    cvt.u64.u16 %wide, %{name};\n    st.global.b64 [%out+{}], %wide;", 8 * at)
                }
                bits => writeln!(body, "    st.global.b{bits} [%out+{}], %{name};", 8 * at),
            };
        }
        format!(
            ".version 8.8\n.target {}\n.address_size 64\n
.visible .entry k(.param .u64 in, .param .u64 out) {{
    .reg .b32 %thread;
    .reg .b64 %in, %out, %wide;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %thread, %tid.x;
    mad.wide.u32 %in, %thread, {}, %in;
    mad.wide.u32 %out, %thread, {}, %out;
{body}    ret;
}}
",
            self.target,
            8 * self.inputs.len().max(1),
            8 * self.outputs.len()
        )
    }

    /// Runs these lines, each in a thread.
    fn run(&self, program: &Program, lines: &[&Line]) -> Result<Vec<u64>, LaunchError> {
        let mut memory = Memory::new();
        let bytes: Vec<u8> = lines.iter().flat_map(|line| &line.inputs).flat_map(|value| value.to_le_bytes()).collect();
        let input = memory.upload("in", &bytes);
        let out = memory.upload("out", &vec![0; 8 * self.outputs.len() * lines.len()]);
        let params = [input.address().to_le_bytes(), out.address().to_le_bytes()].concat();
        let block = [lines.len() as u32, 1, 1];
        let launch = Launch { grid: [1, 1, 1], block, dynamic_shared: 0, params: &params };
        program.kernel("k").unwrap().launch(&memory, &launch, &Options { threads: 1, ..Options::default() })?;
        Ok(memory.download(out).chunks(8).map(|value| u64::from_le_bytes(value.try_into().unwrap())).collect())
    }

    /// What is wrong with it.
    fn mistakes(&self) -> Vec<String> {
        let program = match Program::load(&self.module()).and_then(|program| program.kernel("k").map(|_| program)) {
            Ok(program) => program,
            Err(error) => return vec![format!("{}: {error}", self.place)],
        };
        let mut mistakes = Vec::new();
        let decoded: Vec<_> = program.kernel("k").unwrap().forms().map(|form| head(&form)).collect();
        if !decoded.contains(&self.form) {
            mistakes.push(format!("{}: {} is not the form {}", self.place, self.run, self.form));
        }
        let (faulty, sound): (Vec<&Line>, Vec<&Line>) = self.lines.iter().partition(|line| line.wanted.is_err());
        if !sound.is_empty() {
            match self.run(&program, &sound) {
                Ok(found) => {
                    for (line, found) in sound.iter().zip(found.chunks(self.outputs.len())) {
                        let wanted = line.wanted.as_ref().unwrap();
                        for ((register, &found), &wanted) in self.outputs.iter().zip(found).zip(wanted) {
                            if !register.is_near(found, wanted) {
                                mistakes.push(format!(
                                    "{} line {}: {} gives %{} = {found:X}, not {:X}",
                                    self.place, line.number, self.run, register.name, wanted.value
                                ));
                            }
                        }
                    }
                }
                Err(error) => mistakes.push(format!("{}: {error}", self.place)),
            }
        }
        for line in faulty {
            let found = match self.run(&program, &[line]) {
                Ok(_) => "no fault".to_owned(),
                Err(LaunchError::Trap(trap)) => trap.fault.name().to_owned(),
                Err(error) => error.to_string(),
            };
            if line.wanted.as_ref().err() != Some(&found) {
                mistakes.push(format!(
                    "{} line {}: {found}, not {:?}",
                    self.place,
                    line.number,
                    line.wanted.as_ref().err()
                ));
            }
        }
        mistakes
    }
}

/// A row as the head of a case names it.
fn head(form: &FormInfo) -> String {
    format!("{} ({})", form.spelling, form.operands)
}

#[test]
fn cases_hold() {
    let blocks = blocks();
    let mistakes: Vec<String> = blocks.iter().flat_map(Block::mistakes).collect();
    assert!(mistakes.is_empty(), "{} mistakes\n{}", mistakes.len(), mistakes.join("\n"));
    let values: usize = blocks.iter().map(|block| block.lines.len() * block.outputs.len()).sum();
    assert!(values >= 600, "{values} values");
}

/// Forms of whole kernels, which `tests/*.rs` launch: memory, matrices, barriers, branches.
fn forms_of_kernels() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (file, text) in texts("ptx", "ptx") {
        let program = Program::load(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for name in program.names() {
            let kernel = program.kernel(name).unwrap_or_else(|error| panic!("{file}: {error}"));
            out.extend(kernel.forms().map(|form| head(&form)));
        }
    }
    out
}

#[test]
fn every_row_of_the_table_has_a_case() {
    let mut covered = forms_of_kernels();
    covered.extend(blocks().into_iter().map(|block| block.form));
    let missing: Vec<_> = forms().map(|form| head(&form)).filter(|form| !covered.contains(form)).collect();
    assert!(
        missing.is_empty(),
        "{} rows without a case in tests/cases or tests/ptx:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

/// What NVRTC was seen to write for kernels like ours, forms of Hopper and sm_100 aside: each must occur in a case.
#[test]
fn what_nvrtc_writes_occurs() {
    let mut written = BTreeSet::new();
    let runs = blocks().into_iter().map(|block| block.run);
    for text in runs.chain(texts("ptx", "ptx").into_iter().map(|(_, text)| text)) {
        written.extend(text.split(|c: char| c.is_whitespace() || ";{}".contains(c)).map(str::to_owned));
    }
    let seen = std::fs::read_to_string(folder("cases").join("seen-from-nvrtc.txt")).unwrap();
    let spellings = seen.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let missing: Vec<_> = spellings.filter(|spelling| !written.contains(*spelling)).collect();
    assert!(missing.is_empty(), "no case uses {}", missing.join(" "));
}
