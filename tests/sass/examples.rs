//! Small listings whose loops are known: is the usual way what one would say it is, and is what is wrong told?

use libtest_mimic::{Failed, Trial};

use crate::flow::Flow;
use crate::gates::{self, Counts, Step};
use crate::listing::{Function, Instruction};

/// A name, a listing in which `>3` is the address of its fourth instruction, and what stands on the usual way around each
/// of its hot loops.
const EXAMPLES: [(&str, &[&str], &[&str]); 8] = [
    ("a loop of one block", &["MOV", "HGMMA", "FADD", "@P0 BRA >1", "EXIT"], &["HGMMA FADD BRA"]),
    (
        "the retry of a wait is left out",
        &["SYNCS", "@!P0 BRA >5", "HGMMA", "@P1 BRA >0", "EXIT", "SYNCS", "@!P0 BRA >5", "BRA >2"],
        &["SYNCS BRA HGMMA BRA"],
    ),
    (
        "a detour is left out",
        &["HGMMA", "@P0 BRA >4", "MUFU.EX2", "FADD", "MUFU.EX2", "@P1 BRA >0", "EXIT"],
        &["HGMMA BRA MUFU.EX2 BRA"],
    ),
    (
        "not a way with fewer products, though shorter",
        &["HGMMA", "@P0 BRA >3", "HGMMA", "FADD", "@P1 BRA >0", "EXIT"],
        &["HGMMA BRA HGMMA FADD BRA"],
    ),
    (
        "of two bodies the shorter",
        &["ISETP", "@P0 BRA >6", "HGMMA", "FSEL", "FSEL", "BRA >7", "HGMMA", "FADD", "@P1 BRA >0", "EXIT"],
        &["ISETP BRA HGMMA FADD BRA"],
    ),
    (
        "of loops in loops the inner one, of two both",
        &["HGMMA", "FADD", "@P0 BRA >1", "HGMMA", "@P0 BRA >3", "HGMMA", "@P0 BRA >5", "@P1 BRA >0", "EXIT"],
        &["HGMMA BRA", "HGMMA BRA"],
    ),
    (
        "lanes go on where their barrier says",
        &["HGMMA", "BSSY B0,>4", "@P0 BRA >6", "NOP", "@P1 BRA >0", "EXIT", "FADD", "BSYNC B0"],
        &["HGMMA BSSY BRA NOP BRA"],
    ),
    ("no loop, no way", &["HGMMA", "@P0 BRA >3", "FADD", "EXIT"], &[]),
];

/// Two roles of a warpgroup each, and a loop with one product.
const ROLES: [&str; 9] = [
    "@P3 BRA >3",
    "USETMAXREG.DEALLOC.CTAPOOL 0x18",
    "EXIT",
    "USETMAXREG.TRY_ALLOC.CTAPOOL UP0,0xe0",
    "WARPGROUP.ARRIVE",
    "HGMMA.64x128x16.F32.BF16 R24,gdesc[UR4],R24",
    "WARPGROUP.DEPBAR.LE gsb0,0x0",
    "@P0 BRA >4",
    "EXIT",
];

/// What stands in the place of a line of those, and what is said of it.
const WRONG: [(usize, &str, &str); 9] = [
    (8, "EXIT", ""),
    (4, "NOP", "0 WARPGROUP.ARRIVE in a step of the hot loop, and the plan asks for 1"),
    (5, "NOP", "no loop with products of a warpgroup"),
    (4, "HGMMA R24,gdesc[UR4],R24", "2 HGMMA in a step of the hot loop, and the plan asks for 1"),
    (6, "NOP", "0 WARPGROUP.DEPBAR in a step of the hot loop, and the plan asks for 1"),
    (4, "LDL R4,[R1]", "1 reads and writes of local memory in the hot loop"),
    (3, "USETMAXREG.TRY_ALLOC.CTAPOOL UP0,0xf0", "the roles ask for 33792 registers, and the CTA has 32768"),
    (2, "MOV R24,R2", "R24 is used by a role that has 24 registers"),
    (1, "NOP", "no warpgroup gives registers back, or none takes them"),
];

/// One for each example.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, listing, ways): (&'static str, &'static [&str], &'static [&str])| {
        Trial::test(format!("example: {name}"), move || check(listing, ways))
    };
    let told = WRONG.map(|(at, line, said)| {
        let name = if said.is_empty() { "nothing is wrong" } else { said };
        Trial::test(format!("example: {name}"), move || is_told(at, line, said))
    });
    EXAMPLES.into_iter().map(trial).chain(told).collect()
}

fn is_told(at: usize, line: &str, said: &str) -> Result<(), Failed> {
    const THREADS: u32 = 256;
    const REGISTERS: u32 = 128;
    let mut listing = ROLES;
    listing[at] = line;
    let function = function(&listing);
    let wrong = gates::broken(&function, &Counts::of(&function)?, &Step::of_gemm(16), THREADS, REGISTERS)?;
    let is_right = if said.is_empty() { wrong.is_empty() } else { wrong.iter().any(|told| told == said) };
    if is_right { Ok(()) } else { Err(format!("it says {wrong:?}").into()) }
}

fn function(listing: &[&str]) -> Function {
    Function { name: "k".to_owned(), code: listing.iter().map(|line| instruction(line)).collect() }
}

fn check(listing: &[&str], expected: &[&str]) -> Result<(), Failed> {
    let function = function(listing);
    let flow = Flow::of(&function)?;
    let product = |one: &Instruction| one.is("HGMMA");
    let hot = flow.innermost_with(product);
    let ways = hot.iter().map(|hot| {
        let way = flow.usual_way(hot, product);
        way.iter().map(|one| one.opcode.as_str()).collect::<Vec<_>>().join(" ")
    });
    let ways: Vec<String> = ways.collect();
    if ways == expected { Ok(()) } else { Err(format!("{ways:?}, not {expected:?}").into()) }
}

/// `@P0 BRA >3`
fn instruction(line: &str) -> Instruction {
    let (predicate, rest) = match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').map(|(name, rest)| (Some(format!("@{name}")), rest)).unwrap_or((None, rest)),
        None => (None, line),
    };
    let (opcode, operands) = rest.split_once(' ').unwrap_or((rest, ""));
    let operands = match operands.split_once('>') {
        Some((before, at)) => format!("{before}0x{:x}", 16 * at.parse::<usize>().expect("an index")),
        None => operands.to_owned(),
    };
    Instruction { predicate, opcode: opcode.to_owned(), operands }
}
