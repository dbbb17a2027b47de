//! The syntax tree: owned plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A PTX text.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The version of PTX, major and minor.
    pub version: (u8, u8),
    /// The architecture, such as `sm_90a`.
    pub target: String,
    /// Entries, functions, and declarations of functions that are defined nowhere in the text.
    pub functions: Vec<Function>,
    /// Variables outside functions.
    pub variables: Vec<Variable>,
    /// The other names of functions: alias to function.
    pub aliases: BTreeMap<String, String>,
    /// The files that locations name.
    pub files: Vec<SourceFile>,
    /// Where instructions come from. A location refers to earlier ones only.
    pub locations: Vec<Location>,
    /// The labelled strings of `.debug_str`: mangled names of functions.
    pub strings: BTreeMap<String, String>,
}

/// A place in the PTX text; line and column count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A file of the source that was compiled to PTX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The number that [`Location::file`] names.
    pub index: u32,
    /// The path as the compiler was told.
    pub path: String,
}

/// The index of a location in [`Module::locations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocId(pub usize);

/// A place in the source that was compiled to PTX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The [`SourceFile::index`].
    pub file: u32,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 if the compiler does not know.
    pub column: u32,
    /// The mangled name of the function that was inlined here.
    pub function: Option<Arc<str>>,
    /// The call that was inlined.
    pub inlined_at: Option<LocId>,
}

/// What a function is to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// A kernel.
    Entry,
    /// A function with a body that kernels call.
    Device,
    /// A function without a body in this text.
    Extern,
}

/// A kernel or a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The mangled name.
    pub name: String,
    /// What it is.
    pub kind: FunctionKind,
    /// Its parameters in order.
    pub params: Vec<Param>,
    /// What it returns.
    pub returns: Vec<Param>,
    /// What it says about launches.
    pub directives: Directives,
    /// The registers of all scopes, each with its own number even where names repeat. A family such as `%r<100>`
    /// contributes only the members that occur.
    pub registers: Vec<Register>,
    /// The instructions in order.
    pub body: Vec<Instruction>,
    /// Where each label stands: an index into `body`, or its length.
    pub labels: Vec<usize>,
    /// The name of each label; names may repeat.
    pub label_names: Vec<String>,
    /// The shared variables that are declared inside.
    pub shared: Vec<Variable>,
    /// The local variables that are declared inside.
    pub local: Vec<Variable>,
    /// The `.param` variables that are declared inside: arguments and results of calls. Variables whose names repeat
    /// in several scopes are told apart by a suffix: `param0`, `param0#1`, `param0#2`.
    pub call_params: Vec<Variable>,
    /// The tables that indirect branches name.
    pub branch_tables: Vec<BranchTable>,
    /// The signatures that indirect calls name.
    pub prototypes: Vec<Prototype>,
    /// Where its name stands.
    pub position: Position,
}

/// The signature of an indirect call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// The label that calls name.
    pub name: String,
    /// The results.
    pub returns: Vec<Param>,
    /// The parameters.
    pub params: Vec<Param>,
}

/// What a function says about launches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `.maxntid`.
    pub max_threads: Option<[u32; 3]>,
    /// `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// `.minnctapersm`.
    pub min_ctas: Option<u32>,
    /// `.maxnreg`.
    pub max_registers: Option<u32>,
    /// `.reqnctapercluster`.
    pub required_cluster: Option<[u32; 3]>,
    /// `.maxclusterrank`.
    pub max_cluster_rank: Option<u32>,
    /// `.explicitcluster`.
    pub explicit_cluster: bool,
    /// `.noreturn`.
    pub noreturn: bool,
}

/// A parameter, laid out as in C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The name; `_` in a prototype.
    pub name: String,
    /// Bytes before it in the block of parameters.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Its alignment.
    pub align: u64,
}

/// The index of a register in [`Function::registers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterId(pub u32);

/// The width of a register. PTX checks no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterClass {
    /// One bit.
    Pred,
    /// 16 bits.
    B16,
    /// 32 bits.
    B32,
    /// 64 bits.
    B64,
}

/// A virtual register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The name; registers of different scopes may share one.
    pub name: String,
    /// The width.
    pub class: RegisterClass,
}

/// The index of a label in [`Function::labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub u32);

/// The index of a table in [`Function::branch_tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// The targets of indirect branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchTable {
    /// The label that branches name.
    pub name: String,
    /// Where they may go.
    pub targets: Vec<LabelId>,
}

/// The condition of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The predicate.
    pub register: RegisterId,
    /// Whether the instruction executes where the predicate is false.
    pub negated: bool,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// The condition.
    pub guard: Option<Guard>,
    /// The word before the first dot.
    pub opcode: String,
    /// The words after it, without their dots, in the order of the text: `shared::cta` is one word.
    pub modifiers: Vec<String>,
    /// The operands.
    pub operands: Vec<Operand>,
    /// Where it stands in the PTX text, from its guard on.
    pub position: Position,
    /// Where it comes from.
    pub source: Option<LocId>,
    /// Whether it was written by hand.
    pub inline_assembly: bool,
    /// Of a load: bit i says whether byte i is used. None means all.
    pub used_bytes: Option<u64>,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register.
    Register(RegisterId),
    /// `!p`.
    NotRegister(RegisterId),
    /// An integer, from -(2^64 - 1) to 2^64 - 1.
    Integer(i128),
    /// The bits of `0f3F800000`.
    Float32(u32),
    /// The bits of `0d3FF0000000000000`, or of a decimal number such as `1.0`, whatever the type of the instruction.
    Float64(u64),
    /// The address of a variable, a parameter or a function; the name of a prototype.
    Symbol {
        /// The name; see [`Function::call_params`] for names that repeat.
        name: String,
        /// Bytes added to the address.
        offset: i64,
    },
    /// A special register with its component, such as `%tid.x`.
    Special(String),
    /// `_`: the result is not wanted.
    Sink,
    /// The target of a branch.
    Label(LabelId),
    /// The targets of an indirect branch.
    BranchTable(TableId),
    /// `d|p`: two results.
    Pair(Box<Operand>, Box<Operand>),
    /// `{a, b, c, d}`.
    Vector(Vec<Operand>),
    /// `[base+offset, {x, y}]`.
    Address {
        /// What the address starts from.
        base: AddressBase,
        /// Bytes added to it.
        offset: i64,
        /// The coordinates of a tensor access.
        coordinates: Vec<Operand>,
    },
    /// `(a, b)`: the arguments or the results of a call.
    Group(Vec<Operand>),
}

/// What an address starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressBase {
    /// The value of a register.
    Register(RegisterId),
    /// The address of a variable or a parameter.
    Symbol(String),
    /// A number.
    Absolute(i64),
}

/// Where a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// `.const`.
    Const,
    /// `.global`.
    Global,
    /// `.shared`.
    Shared,
    /// `.local`.
    Local,
    /// `.param`.
    Param,
}

/// Who sees a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// This text only.
    Internal,
    /// `.extern`: defined elsewhere, or sized at launch.
    Extern,
    /// `.visible`.
    Visible,
    /// `.weak`.
    Weak,
    /// `.common`.
    Common,
}

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Where it lives.
    pub space: Space,
    /// Who sees it.
    pub linkage: Linkage,
    /// The alignment, a power of two.
    pub align: u64,
    /// The size of one element; each initial value fills one.
    pub element_bytes: u64,
    /// The name.
    pub name: String,
    /// The size of all elements; None for `name[]`.
    pub bytes: Option<u64>,
    /// The first elements. The others are zero, if there is any.
    pub init: Vec<InitValue>,
    /// Where its name stands.
    pub position: Position,
}

/// The initial value of an element.
#[derive(Clone, Debug, PartialEq)]
pub enum InitValue {
    /// An integer.
    Integer(i128),
    /// The bits of a 32-bit float.
    Float32(u32),
    /// The bits of a 64-bit float, whatever the type of the variable.
    Float64(u64),
    /// An address.
    Address {
        /// The variable or function.
        name: String,
        /// Bytes added to its address.
        offset: i64,
        /// Whether the address is generic, not one of the variable's own space.
        generic: bool,
    },
}
