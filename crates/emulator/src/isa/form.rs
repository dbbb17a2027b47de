//! What one row of the instruction table says, and how an instruction of a PTX text finds its row.

use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::machine::exchange::Exchange;
use crate::machine::lanes::Lanes;

/// One row of the instruction table: a spelling with its alternatives, what its operands are, and what it does.
pub(crate) struct Form {
    /// Opcode and modifiers as the PTX manual writes them: `{.a|.b}` is a choice, `[.a|.b]` may be absent. Modifiers may
    /// come in any order in a text, except that types keep theirs.
    pub(crate) spelling: &'static str,
    /// The operands in written order.
    pub(crate) operands: &'static [Operand],
    /// Which execution unit serves it, for counting.
    pub(crate) family: Family,
    /// One line for the manual.
    pub(crate) meaning: &'static str,
    /// What it does.
    pub(crate) action: Action,
}

/// What an operand is, and whether it is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// Read: a register, an immediate, a special register or the address of a variable.
    In(Class),
    /// Written: a register or `_`.
    Out(Class),
    /// Written: a register of either width, or `_`; the value is extended as the form's type says.
    OutAny,
    /// Read: a register of either width.
    InAny,
    /// Written: `d|p`, the second half optional.
    OutPair(Class, Class),
    /// Written: registers in braces, or one without.
    OutList(Class),
    /// Written: registers of either width in braces, or one without.
    OutListAny,
    /// Read: registers of either width in braces, or one without.
    InListAny,
    /// Read: registers in braces, or one without.
    InList(Class),
    /// Written: exactly so many registers in braces, each or `_`; a lone one needs no braces.
    OutBraces(Class, u8),
    /// Read: exactly so many registers in braces; a lone one needs no braces.
    InBraces(Class, u8),
    /// An address in brackets.
    Address,
    /// The address of an mbarrier, in brackets.
    Mbarrier,
    /// The generic address of a tensor map and one to five coordinates of 32 bits, in brackets.
    Box,
    /// Read: a clock, whole or one half of it.
    Clock(Class),
    /// A place in the code.
    Label,
    /// A number known when the text is read.
    Number,
    /// Read and written: registers of 32 bits in braces, as many as the shape of a `wgmma` says.
    Accumulators,
    /// 1, or -1 for an operand that is negated.
    Sign,
    /// 0 or 1, known when the text is read.
    Flag,
}

/// The kind of row that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A bit a lane.
    Predicate,
    /// 8, 16 or 32 bits.
    Word,
    /// 64 bits.
    Wide,
}

/// Short names for the table.
pub(crate) mod operands {
    use super::{Class, Operand};

    pub(crate) const P: Operand = Operand::In(Class::Predicate);
    pub(crate) const W: Operand = Operand::In(Class::Word);
    pub(crate) const L: Operand = Operand::In(Class::Wide);
    pub(crate) const TO_P: Operand = Operand::Out(Class::Predicate);
    pub(crate) const TO_W: Operand = Operand::Out(Class::Word);
    pub(crate) const TO_L: Operand = Operand::Out(Class::Wide);
    pub(crate) const TO_PP: Operand = Operand::OutPair(Class::Predicate, Class::Predicate);
    pub(crate) const TO_WP: Operand = Operand::OutPair(Class::Word, Class::Predicate);
    pub(crate) const TO_WS: Operand = Operand::OutList(Class::Word);
    pub(crate) const WS: Operand = Operand::InList(Class::Word);
}

/// Which unit of a GPU serves an instruction. Counts are kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    /// 8- to 64-bit integers, logic, selection and moves.
    Integer,
    /// f16, bf16, f32 and f64 arithmetic.
    Float,
    /// Approximate functions of the multi-function unit.
    Special,
    /// Conversions between types.
    Convert,
    /// Comparisons into predicates.
    Compare,
    /// Loads and stores of shared memory, ldmatrix included.
    Shared,
    /// Loads and stores of global memory, and asynchronous copies out of it.
    Global,
    /// Loads and stores of local, parameter and constant memory, and conversions of addresses.
    Local,
    /// Atomics and reductions in memory.
    Atomic,
    /// Matrix products.
    Tensor,
    /// Exchange between the lanes of a warp.
    Exchange,
    /// Barriers, fences and waits.
    Sync,
    /// Branches and the end of a thread.
    Control,
}

impl Family {
    /// All of them, in the order of the manual.
    pub(crate) const ALL: [Family; 13] = [
        Family::Integer,
        Family::Float,
        Family::Special,
        Family::Convert,
        Family::Compare,
        Family::Shared,
        Family::Global,
        Family::Local,
        Family::Atomic,
        Family::Tensor,
        Family::Exchange,
        Family::Sync,
        Family::Control,
    ];

    /// Its name in statistics and in the manual.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Integer => "integer",
            Family::Float => "float",
            Family::Special => "special",
            Family::Convert => "convert",
            Family::Compare => "compare",
            Family::Shared => "shared",
            Family::Global => "global",
            Family::Local => "local",
            Family::Atomic => "atomic",
            Family::Tensor => "tensor",
            Family::Exchange => "exchange",
            Family::Sync => "sync",
            Family::Control => "control",
        }
    }
}

/// What an instruction does. Each function exists twice: for hosts with AVX2 and FMA, and for all others.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Changes registers only.
    Lanes(Pair<LaneFn>),
    /// Touches memory, or other state of its warp.
    Effect(Pair<EffectFn>),
    /// As `Effect`, once all lanes of the warp are there together.
    Aligned(Pair<EffectFn>),
    /// As `Aligned`, and may have to wait for other warps.
    Await(Pair<AwaitFn>),
    /// Gives the lanes of a member mask values of each other, once all of them are there.
    Exchange(fn(&mut Exchange)),
    /// Picks one of the above by the modifiers of the instruction at hand, and may note numbers about them for it.
    Choose(fn(&Chosen<'_>, &mut Instruction) -> Option<Action>),
    /// Moves a fragment of the warp through the code, or stops it: the scheduler's own.
    Flow(Flow),
}

/// A function of registers.
pub(crate) type LaneFn = unsafe fn(&mut Lanes, &Instruction);
/// A function of a warp and the memory that it sees.
pub(crate) type EffectFn = unsafe fn(&mut Effect<'_>, &Instruction) -> Result<(), Box<crate::trap::Fault>>;

/// A function of a warp and the memory that it sees, which may find that others must act first.
pub(crate) type AwaitFn = unsafe fn(&mut Effect<'_>, &Instruction) -> Result<Ready, Box<crate::trap::Fault>>;

/// Whether a warp can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Now,
    Later,
}

/// One function, compiled twice.
#[derive(Clone, Copy)]
pub(crate) struct Pair<F> {
    /// For hosts that have [`features`].
    pub(crate) fast: F,
    /// For any host.
    pub(crate) plain: F,
}

impl<F: Copy> Pair<F> {
    /// The one for this host.
    pub(crate) fn of_host(self) -> F {
        if features() { self.fast } else { self.plain }
    }
}

/// Whether this host has what the fast functions are compiled for.
pub(crate) fn features() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// What the scheduler does itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To a label, in the lanes whose guard holds.
    Branch,
    /// The end of a thread.
    Exit,
    /// A barrier of the CTA: arrive and wait.
    Barrier,
    /// A barrier of the CTA: arrive and go on.
    BarrierArrive,
    /// A barrier of the CTA that counts the threads whose predicate holds.
    BarrierCount,
    /// A barrier of the CTA that tells whether all threads' predicates hold.
    BarrierAll,
    /// A barrier of the CTA that tells whether a thread's predicate holds.
    BarrierAny,
    /// A barrier of the lanes of a mask.
    WarpBarrier,
    /// Asks whether a phase of an mbarrier is complete.
    TestWait,
    /// Waits until a phase of an mbarrier is complete.
    TryWait,
    /// Arrives at the barrier of the cluster.
    ClusterArrive,
    /// Waits at the barrier of the cluster.
    ClusterWait,
    /// More registers for the warp, once the CTA has them.
    TakeRegisters,
    /// Registers of the warp go back to the CTA.
    GiveRegisters,
    /// A deliberate failure.
    Trap,
    /// Nothing.
    Nothing,
}

/// The modifiers of an instruction, by the choice that they answer.
pub(crate) struct Chosen<'a> {
    /// Answers in the order of the form's choices; "" where an optional one is absent.
    words: Vec<&'a str>,
}

impl<'a> Chosen<'a> {
    /// The answer to the choice number `at` of the spelling, without its dot; "" if it is absent.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        self.words[at]
    }

    /// The last answer: the type, in most spellings.
    pub(crate) fn last(&self) -> &'a str {
        self.words.last().copied().unwrap_or_default()
    }

    /// Whether this word is one of the answers.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// All answers, in the order of the spelling.
    pub(crate) fn words(&self) -> &[&'a str] {
        &self.words
    }
}

/// The words that name types. `cvt.u64.u32` and `cvt.u32.u64` differ in nothing but their order.
const TYPES: &[&str] = &[
    "pred", "b8", "b16", "b32", "b64", "b128", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f16", "f32",
    "f64", "bf16", "tf32", "e4m3", "e5m2", "u16x2", "s16x2", "f16x2", "bf16x2", "f32x2", "e4m3x2", "e5m2x2", "u4",
    "s4", "u2", "s2",
];

/// A place of a spelling where a modifier stands.
struct Slot {
    /// A capital N stands for any number.
    words: Vec<&'static str>,
    required: bool,
    /// Whether the action hears of it: a word without brackets is no choice, one in braces is, even if it is alone.
    choice: bool,
}

impl Slot {
    fn takes(&self, word: &str) -> bool {
        self.words.iter().any(|known| match known.split_once('N') {
            Some((before, after)) if !after.is_empty() => word.starts_with(before) && word.ends_with(after),
            _ => *known == word,
        })
    }
}

impl Form {
    /// The first word of the spelling.
    pub(crate) fn opcode(&self) -> &'static str {
        self.spelling.split(['.', '{', '[']).next().unwrap_or_default()
    }

    /// The places of its spelling where modifiers stand.
    fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut rest = &self.spelling[self.opcode().len()..];
        while let Some(first) = rest.chars().next() {
            let (inside, required) = match first {
                '{' | '[' => {
                    let close = rest.find(['}', ']']).expect("a choice in a spelling is closed");
                    let inside = &rest[1..close];
                    rest = &rest[close + 1..];
                    (inside, first == '{')
                }
                _ => {
                    let end = rest[1..].find(['.', '{', '[']).map_or(rest.len(), |at| at + 1);
                    let (word, after) = rest.split_at(end);
                    rest = after;
                    (word, true)
                }
            };
            let words: Vec<_> = inside.split('|').map(|word| word.trim_start_matches('.')).collect();
            slots.push(Slot { choice: first == '{' || first == '[', words, required });
        }
        slots
    }
}

/// A form, its spelling taken apart.
pub(crate) struct Spelled {
    /// The form.
    pub(crate) form: &'static Form,
    slots: Vec<Slot>,
}

impl Spelled {
    /// Takes the spelling of a form apart.
    pub(crate) fn new(form: &'static Form) -> Spelled {
        Spelled { form, slots: form.slots() }
    }

    /// The modifiers sorted by the form's choices, or None if the form has no such spelling.
    pub(crate) fn choose<'a>(&self, modifiers: &'a [String]) -> Option<Chosen<'a>> {
        let mut left: Vec<Option<&'a str>> = modifiers.iter().map(|word| Some(word.as_str())).collect();
        let mut words = Vec::new();
        let mut types = 0;
        for slot in &self.slots {
            let found = left.iter().position(|word| word.is_some_and(|word| slot.takes(word)));
            let word = match found {
                Some(at) => {
                    let word = left[at].take().unwrap_or_default();
                    if TYPES.contains(&word) {
                        if at < types {
                            return None;
                        }
                        types = at;
                    }
                    word
                }
                None if slot.required => return None,
                None => "",
            };
            if slot.choice {
                words.push(word);
            }
        }
        left.iter().all(Option::is_none).then_some(Chosen { words })
    }
}

/// A function of registers as an [`Action`]: `lanes!(|a: u32, b: u32| -> u32 { a ^ b })` reads its operands from the
/// registers after the first and writes the first. The body is compiled for 32 lanes at a time.
macro_rules! lanes {
    (|$($x:ident: $t:ty),+| -> $o:ty $body:block) => {
        $crate::isa::form::lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            $(let $x = <$t as $crate::machine::lanes::Lane>::load(lanes, $x);)+
            let mut out = [<$o as $crate::machine::lanes::Lane>::ZERO; $crate::machine::lanes::WARP];
            for lane in 0..$crate::machine::lanes::WARP {
                $(let $x = $x[lane];)+
                out[lane] = $body;
            }
            <$o as $crate::machine::lanes::Lane>::store(lanes, d, out);
        })
    };
}

/// A function of all registers as an [`Action`]: `lane_function!(|lanes, ins| { … })`.
macro_rules! lane_function {
    (|$lanes:ident, $ins:ident| $body:block) => {{
        #[cfg_attr(
            target_arch = "x86_64",
            target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")
        )]
        fn fast($lanes: &mut $crate::machine::lanes::Lanes, $ins: &$crate::decode::Instruction) $body
        fn plain($lanes: &mut $crate::machine::lanes::Lanes, $ins: &$crate::decode::Instruction) $body
        $crate::isa::form::Action::Lanes($crate::isa::form::Pair { fast, plain })
    }};
}

/// A function of warp and memory as an [`Action`]: `effect!(Effect, |effect, ins| { … Ok(()) })`, or `Aligned` in place of
/// `Effect` where all lanes of the warp must be together.
macro_rules! effect {
    ($kind:ident, |$effect:ident, $ins:ident| $body:block) => {{
        #[cfg_attr(
            target_arch = "x86_64",
            target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")
        )]
        fn fast($effect: &mut $crate::machine::context::Effect<'_>, $ins: &$crate::decode::Instruction) -> Result<(), Box<$crate::trap::Fault>> $body
        fn plain($effect: &mut $crate::machine::context::Effect<'_>, $ins: &$crate::decode::Instruction) -> Result<(), Box<$crate::trap::Fault>> $body
        $crate::isa::form::Action::$kind($crate::isa::form::Pair { fast, plain })
    }};
    ($kind:ident -> $result:ty, |$effect:ident, $ins:ident| $body:block) => {{
        #[cfg_attr(
            target_arch = "x86_64",
            target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")
        )]
        fn fast($effect: &mut $crate::machine::context::Effect<'_>, $ins: &$crate::decode::Instruction) -> Result<$result, Box<$crate::trap::Fault>> $body
        fn plain($effect: &mut $crate::machine::context::Effect<'_>, $ins: &$crate::decode::Instruction) -> Result<$result, Box<$crate::trap::Fault>> $body
        $crate::isa::form::Action::$kind($crate::isa::form::Pair { fast, plain })
    }};
}

pub(crate) use {effect, lane_function, lanes};

#[cfg(test)]
mod tests {
    use super::*;

    fn form(spelling: &'static str) -> Spelled {
        let action = Action::Flow(Flow::Nothing);
        let form = Form { spelling, operands: &[], family: Family::Integer, meaning: "", action };
        Spelled::new(Box::leak(Box::new(form)))
    }

    fn words<'a>(form: &Spelled, modifiers: &'a [String]) -> Option<Vec<&'a str>> {
        form.choose(modifiers).map(|chosen| chosen.words)
    }

    fn modifiers(text: &str) -> Vec<String> {
        text.split('.').skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn modifiers_come_in_any_order_and_types_keep_theirs() {
        let atom = form("atom[.relaxed|.acquire][.gpu|.sys]{.global|.shared}{.add|.min}{.u32|.f32}");
        assert_eq!(atom.form.opcode(), "atom");
        let expected = Some(vec!["", "sys", "global", "add", "u32"]);
        assert_eq!(words(&atom, &modifiers(".global.sys.add.u32")), expected);
        assert_eq!(words(&atom, &modifiers(".add.global.u32.sys")), expected);
        assert_eq!(words(&atom, &modifiers(".global.add.u32.u32")), None);
        assert_eq!(words(&atom, &modifiers(".global.u32")), None);
        let cvt = form("cvt.rn{.f32|.s32}{.f32|.s32}");
        assert_eq!(words(&cvt, &modifiers(".rn.f32.s32")), Some(vec!["f32", "s32"]));
        let widening = form("cvt.u64.u32");
        assert_eq!(words(&widening, &modifiers(".u64.u32")), Some(vec![]));
        assert_eq!(words(&widening, &modifiers(".u32.u64")), None);
    }
}
