//! The rows as functions: chosen by their modifiers, run on rows of registers.

use super::form::{Action, Class, Form, Operand};
use super::{TABLES, forms};
use crate::decode::{ALWAYS, Address, Instruction, MOST_ROWS, Run};
use crate::machine::context::Effect;
use crate::machine::lanes::{Lanes, WARP};
use crate::trap::Fault;

/// Rows of each kind that a test has.
const ROWS: usize = 8;

/// The kinds of rows that a form names, in order.
fn classes(form: &Form) -> Vec<Class> {
    let mut classes = Vec::new();
    for operand in form.operands {
        match *operand {
            Operand::In(class) | Operand::Out(class) => classes.push(class),
            Operand::OutPair(first, second) => classes.extend([first, second]),
            Operand::OutBraces(class, count) | Operand::InBraces(class, count) => {
                classes.extend(std::iter::repeat_n(class, usize::from(count)));
            }
            Operand::Number => {}
            other => panic!("{} has {other:?}", form.spelling),
        }
    }
    classes
}

/// Runs an instruction in all lanes. Rows of each kind are numbered in the order in which it names them, and hold in every
/// lane what `inputs` has at their place; the answer holds all rows after it.
pub(crate) fn run(text: &str, number: i64, inputs: &[u64]) -> Result<Vec<u64>, Fault> {
    let (form, action, mut ins) = prepare(text, inputs.len()).unwrap_or_else(|| panic!("no form for {text}"));
    ins.number = number;
    let classes = classes(form);
    let mut lanes = Lanes::new(ROWS, vec![[0; WARP]; ROWS], vec![[0; WARP]; ROWS]);
    lanes.set_mask(u32::MAX);
    for ((&class, &row), &value) in classes.iter().zip(&ins.rows).zip(inputs) {
        match class {
            Class::Predicate => lanes.set_predicate(row, if value != 0 { u32::MAX } else { 0 }),
            Class::Word => lanes.set_words(row, &[value as u32; WARP]),
            Class::Wide => lanes.set_wides(row, &[value; WARP]),
        }
    }
    match action {
        Action::Lanes(function) => unsafe { function.of_host()(&mut lanes, &ins) },
        Action::Effect(function) => unsafe {
            function.of_host()(&mut Effect { lanes: &mut lanes }, &ins).map_err(|fault| *fault)?;
        },
        _ => panic!("{text} is not of registers alone"),
    }
    Ok(classes
        .iter()
        .zip(&ins.rows)
        .map(|(class, &row)| match class {
            Class::Predicate => u64::from(lanes.predicate(row) & 1),
            Class::Word => u64::from(lanes.words(row)[17]),
            Class::Wide => lanes.wides(row)[17],
        })
        .collect())
}

/// The form with this spelling and so many rows, its action, and an instruction with a row of its own for each operand.
fn prepare(text: &str, rows: usize) -> Option<(&'static Form, Action, Instruction)> {
    let mut words = text.split('.').map(str::to_owned);
    let opcode = words.next()?;
    let modifiers: Vec<_> = words.collect();
    for form in forms(&opcode) {
        let Some(chosen) = form.choose(&modifiers) else { continue };
        let classes = classes(form);
        if classes.len() != rows {
            continue;
        }
        let mut next = [0u16; 3];
        let mut named = [0; MOST_ROWS];
        for (row, class) in named.iter_mut().zip(classes) {
            *row = next[class as usize];
            next[class as usize] += 1;
        }
        fn nothing(_: &mut crate::machine::exchange::Exchange) {}
        let mut ins = Instruction {
            run: Run::Exchange(nothing),
            rows: named,
            guard: ALWAYS,
            address: Address::default(),
            number: 0,
            note: 0,
            target: 0,
            form,
        };
        let action = match form.action {
            Action::Choose(choose) => choose(&chosen, &mut ins)?,
            action => action,
        };
        return Some((form, action, ins));
    }
    None
}

#[test]
fn no_two_rows_have_a_spelling_and_operands_in_common() {
    for table in TABLES {
        for form in table.iter() {
            for text in spellings(form) {
                let modifiers: Vec<_> = text.split('.').skip(1).map(str::to_owned).collect();
                let same = forms(form.opcode())
                    .filter(|other| other.choose(&modifiers).is_some() && other.operands == form.operands);
                assert_eq!(same.count(), 1, "{text}");
            }
        }
    }
}

/// Every spelling that a row stands for.
fn spellings(form: &Form) -> Vec<String> {
    let mut all = vec![form.opcode().to_owned()];
    let mut rest = &form.spelling[form.opcode().len()..];
    while !rest.is_empty() {
        let first = &rest[..1];
        let (slot, after) = match first {
            "{" | "[" => rest[1..].split_once(['}', ']']).expect("choices are closed"),
            _ => rest.split_at(rest[1..].find(['.', '{', '[']).map_or(rest.len(), |at| at + 1)),
        };
        rest = after;
        let mut choices: Vec<_> = slot.split('|').collect();
        if first == "[" {
            choices.push("");
        }
        all = all.iter().flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}"))).collect();
    }
    all
}

#[test]
fn every_spelling_has_a_function() {
    let mut count = 0;
    for table in TABLES {
        for form in table.iter().filter(|form| !matches!(form.action, Action::Exchange(_) | Action::Flow(_))) {
            for text in spellings(form) {
                let inputs = vec![1; classes(form).len()];
                assert!(run(&text, 0, &inputs).is_ok(), "{text}");
                count += 1;
            }
        }
    }
    println!("{count} spellings");
}

#[test]
fn operations_on_examples_of_the_manual() {
    let word = |text: &str, inputs: &[u64]| run(text, 0, &[&[0], inputs].concat()).expect("no fault")[0];
    assert_eq!(word("mul.wide.s32", &[0xFFFF_FFFF, 2]), -2i64 as u64);
    assert_eq!(word("mad24.hi.sat.s32", &[0x7F_FFFF, 0x7F_FFFF, 0x7FFF_FFFF]), 0x7FFF_FFFF);
    assert_eq!(word("shf.l.wrap.b32", &[0x1234_5678, 0x9ABC_DEF0, 4]), 0xABCD_EF01);
    assert_eq!(word("prmt.b32", &[0x3322_1100, 0x7766_5544, 0xF041]), 0x4411);
    assert_eq!(word("cvt.rn.bf16x2.f32", &[0x3F80_0000, 0x4000_0000]), 0x3F80_4000);
    assert_eq!(word("cvt.rzi.s8.f32", &[0x4348_0000]), 0x7F);
    assert_eq!(word("cvt.s32.s8", &[0x80]), 0xFFFF_FF80);
    assert_eq!(word("cvt.sat.u8.s32", &[0xFFFF_FFFF]), 0);
    assert_eq!(word("cvt.rn.f32.u64", &[u64::MAX]), 0x5F80_0000);
    assert_eq!(word("cvt.rm.f32.u64", &[u64::MAX]), 0x5F7F_FFFF);
    assert_eq!(word("cvt.rna.tf32.f32", &[0x3F80_1000]), 0x3F80_2000);
    assert_eq!(word("cvt.rn.f16x2.e4m3x2", &[0xFE01]), 0xDF00_1800);
    assert_eq!(word("add.rm.f32", &[0x3F80_0000, 0xBF80_0000]), 0x8000_0000);
    assert_eq!(word("mul.bf16", &[0x0080, 0x3F7F]), 0x0080);
    assert_eq!(word("set.eq.f16x2.f16x2", &[0x3C00_0000, 0x3C00_0001]), 0x3C00_0000);
    let both = |text: &str, inputs: &[u64]| run(text, 0, &[&[0, 0], inputs].concat()).expect("no fault")[..2].to_vec();
    assert_eq!(both("setp.ne.f32", &[0x7FC0_0000, 0]), [0, 1]);
    assert_eq!(both("setp.neu.f32", &[0x7FC0_0000, 0]), [1, 0]);
    assert_eq!(both("setp.lt.and.s32", &[0xFFFF_FFFF, 0, 1]), [1, 0]);
    assert_eq!(both("setp.hi.u16", &[1, 2]), [0, 1]);
    assert_eq!(run("div.s32", 0, &[0, 1, 0]), Err(Fault::DivisionByZero { lane: 0 }));
    assert_eq!(run("div.s32", 0, &[0, 0x8000_0000, 0xFFFF_FFFF]).expect("no fault")[0], 0x8000_0000);
}

/// What NVRTC was seen to write, of forms that name registers alone.
const SEEN: &str = "
    abs.bf16x2 abs.f32 abs.s32 activemask.b32 add.bf16x2 add.f16x2 add.f32 add.f64 add.rm.f32 add.rn.f32 add.s32 add.s64
    add.u64 and.b16 and.b32 and.b64 and.pred bfi.b32 bfi.b64 bfind.shiftamt.u32 brev.b32 clz.b32 clz.b64 copysign.f32
    cos.approx.f32 cvt.f32.bf16 cvt.f32.f16 cvt.f64.f32 cvt.rmi.f32.f32 cvt.rmi.s64.f32 cvt.rn.bf16.f32 cvt.rn.bf16x2.f32
    cvt.rn.f16.f32 cvt.rn.f16x2.f32 cvt.rn.f32.f64 cvt.rn.f32.s32 cvt.rn.f32.s64 cvt.rn.f32.u32 cvt.rn.f64.s32
    cvt.rn.f64.s64 cvt.rn.satfinite.e4m3x2.f32 cvt.rni.f32.f32 cvt.rni.s32.f32 cvt.rpi.f32.f32 cvt.rzi.s32.f32
    cvt.rzi.u32.f32 cvt.s32.s16 cvt.s32.s8 cvt.s64.s32 cvt.sat.f32.f32 cvt.u16.u32 cvt.u32.u16 cvt.u32.u64 cvt.u64.u32
    cvt.rn.f16x2.e4m3x2 cvt.rna.tf32.f32 cvt.rzi.f32.f32 div.approx.f32 div.rn.f32 div.s32 div.u32 div.u64
    dp4a.s32.s32 elect.sync ex2.approx.f32 ex2.approx.ftz.f32 ex2.approx.f16x2 ex2.approx.ftz.bf16x2 fma.rm.f32
    fma.rn.bf16x2 fma.rn.f16 fma.rn.f16x2 fma.rn.f32 fma.rn.f64 fma.rz.f32 lg2.approx.f32 lg2.approx.ftz.f32 lop3.b32
    mad.lo.s32 mad.lo.s64 mad.wide.u32 match.all.sync.b32 match.any.sync.b32 max.f16x2 max.bf16x2 max.f32 max.s32 max.u32
    min.bf16x2 min.f32 min.s32 min.u32 mov.b16 mov.b32 mov.b64 mov.f32 mov.f64 mov.pred mov.u16 mov.u32 mov.u64
    mul.bf16x2 mul.f16x2 mul.f32 mul.f64 mul.hi.s32 mul.hi.u32 mul.hi.u64 mul.lo.s16 mul.lo.s32 mul.lo.s64 mul.rn.f32
    mul.rn.bf16x2 mul.rp.f32 mul.wide.s32 mul.wide.u16 mul.wide.u32 neg.f32 neg.s32 neg.s64 not.b32 not.pred or.b32
    or.b64 or.pred popc.b32 popc.b64 prmt.b32 rcp.approx.ftz.f32 rcp.rn.f32 rcp.rn.f64 redux.sync.add.s32
    redux.sync.max.s32 redux.sync.max.u32 redux.sync.or.b32 rsqrt.approx.f32 sad.u32 selp.b32 selp.b64 selp.f32 selp.u16
    selp.u32 set.eq.f16.f16 set.eq.f16x2.f16x2 set.lt.f32.f32 setp.eq.b32 setp.eq.b64 setp.eq.f32 setp.eq.s16 setp.eq.s32
    setp.eq.s64 setp.eq.u32 setp.ge.f32 setp.ge.s32 setp.geu.f32 setp.gt.f16 setp.gt.f32 setp.gt.s16 setp.gt.s32
    setp.gt.u32 setp.gt.u64 setp.gtu.f32 setp.le.s32 setp.lt.and.s32 setp.lt.bf16 setp.lt.f32 setp.lt.s32 setp.lt.u32
    setp.lt.u64 setp.ltu.f32 setp.ne.b32 setp.ne.b64 setp.ne.s16 setp.ne.s32 setp.ne.s64 setp.ne.u32 setp.neu.f32
    shf.l.wrap.b32 shfl.sync.bfly.b32 shfl.sync.down.b32 shfl.sync.idx.b32 shfl.sync.up.b32 shl.b32 shl.b64 shr.s32
    shr.u32 shr.u64 sin.approx.f32 sqrt.rn.f32 sqrt.rn.f64 sub.f32 sub.s16 sub.s32 sub.s64 tanh.approx.f32
    vote.sync.all.pred vote.sync.any.pred vote.sync.ballot.b32 xor.b32 xor.b64 xor.pred bfe.u32 bfe.s32 rem.s32 rem.u32
    slct.f32.s32 mad.hi.u32 lop3.or.b32 vote.sync.uni.pred fma.rn.ftz.f32 mul.ftz.f32 add.ftz.f32 abs.ftz.f32 sub.ftz.f32
    neg.ftz.f32 max.ftz.f32 div.approx.ftz.f32 rcp.rn.ftz.f32 rsqrt.approx.ftz.f32 sqrt.approx.ftz.f32 setp.eq.ftz.f32
    cvt.rzi.ftz.s32.f32 cvt.rzi.ftz.u32.f32 cvt.rmi.ftz.f32.f32
";

#[test]
fn what_nvrtc_writes_has_rows() {
    for text in SEEN.split_whitespace() {
        let mut words = text.split('.').map(str::to_owned);
        let opcode = words.next().unwrap_or_default();
        let modifiers: Vec<_> = words.collect();
        assert!(forms(&opcode).any(|form| form.choose(&modifiers).is_some()), "{text}");
    }
}

/// Nanoseconds for one instruction of 32 lanes: `cargo test --release -p ptx-emulator -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement, of a release build"]
fn speed() {
    let texts = "add.s32 add.s64 mad.lo.s32 mul.wide.u32 mul.hi.s32 shl.b32 bfe.u32 bfi.b32 prmt.b32 popc.b32 clz.b32 lop3.b32
        selp.b32 selp.b64 mov.b32 add.f32 mul.f32 fma.rn.f32 fma.rn.ftz.f32 add.rz.f32 max.f32 div.rn.f32 fma.rn.f64
        setp.lt.s32 setp.lt.and.s32 setp.eq.s64 setp.lt.f32 setp.neu.f32 setp.lt.f16 and.pred ex2.approx.ftz.f32 ex2.approx.f32 lg2.approx.f32
        rcp.approx.ftz.f32 rsqrt.approx.f32 div.approx.f32 sin.approx.f32 tanh.approx.f32 fma.rn.f16x2 fma.rn.bf16x2 add.f16x2
        max.bf16x2 cvt.rn.bf16x2.f32 cvt.rn.f16x2.f32 cvt.f32.f16 cvt.f32.bf16 cvt.rn.f32.s32 cvt.rzi.s32.f32 cvt.rn.f32.s64 cvt.u32.u16
        cvt.s64.s32 cvt.rn.satfinite.e4m3x2.f32 div.s32 div.u64 set.lt.f32.f32 dp4a.s32.s32";
    for text in texts.split_whitespace() {
        let (_, action, ins) = (1..8).find_map(|rows| prepare(text, rows)).expect("the form exists");
        let values = |bits: u32| std::array::from_fn(|lane| 0x3F80_0001 + bits * 7919 + lane as u32 * 0x11_2345);
        let words = (0..ROWS as u32).map(values).collect();
        let wides =
            (0..ROWS as u32).map(|bits| values(bits).map(|word| u64::from(word) << 32 | u64::from(word))).collect();
        let mut lanes = Lanes::new(ROWS, words, wides);
        for mask in [u32::MAX, 0x7FFF_FFFF] {
            lanes.set_mask(mask);
            const TURNS: u32 = 1 << 20;
            let start = std::time::Instant::now();
            for _ in 0..TURNS {
                match action {
                    Action::Lanes(function) => unsafe { (function.fast)(std::hint::black_box(&mut lanes), &ins) },
                    Action::Effect(function) => unsafe {
                        let _ = (function.fast)(&mut Effect { lanes: std::hint::black_box(&mut lanes) }, &ins);
                    },
                    _ => {}
                }
            }
            let time = start.elapsed().as_secs_f64() / f64::from(TURNS) * 1e9;
            if mask == u32::MAX { print!("{text:28} {time:7.1} ns") } else { println!(" {time:7.1} ns in part") }
        }
    }
}
