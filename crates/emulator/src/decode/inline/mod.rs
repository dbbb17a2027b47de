//! Calls and tables of branches, written out: what runs knows neither.
//!
//! A call of a function becomes the body of that function, with registers and labels of its own; arguments and results,
//! which PTX keeps in `.param` variables, become variables of the thread's stack frame. `brx.idx` becomes a branch for each
//! place of its table. What cannot be written out (a function that calls itself, or is defined nowhere) stays a call, and is
//! refused when its kernel is decoded.

mod pointers;

use std::collections::HashMap;

use crate::syntax::{
    AddressBase, BranchTable, Function, FunctionKind, Guard, Instruction, LabelId, LocId, Location, Module, Operand,
    Register, RegisterClass, RegisterId, Space, TableId, Variable,
};

/// Functions may call each other this deep.
const MOST_DEEP: usize = 64;
/// Most calls and instructions of a kernel with everything written out.
const MOST_CALLS: usize = 1 << 14;
const MOST_WRITTEN: usize = 1 << 18;

/// Writes out the calls and tables of all kernels of a module.
pub(crate) fn inline(module: &mut Module) {
    for at in 0..module.functions.len() {
        let source = &module.functions[at];
        let expandable = |ins: &Instruction| matches!(ins.opcode.as_str(), "call" | "brx");
        if source.kind != FunctionKind::Entry || !source.body.iter().any(expandable) {
            continue;
        }
        let mut locations = std::mem::take(&mut module.locations);
        let mut inliner =
            Inliner { module, locations: &mut locations, out: empty_like(source), path: Vec::new(), calls: 0 };
        inliner.expand(&module.functions[at], &mut Frame::default());
        let written_out = inliner.out;
        module.functions[at] = written_out;
        module.locations = locations;
    }
}

/// Why a call could not be written out.
pub(in crate::decode) fn why_not(module: &Module, call: &Instruction) -> String {
    let Some(Call { name, .. }) = Call::of(call) else {
        return "no function whose address is taken has these parameters, or one calls itself".to_owned();
    };
    match callee(module, name) {
        None => format!("{name} is defined nowhere in the text"),
        Some(_) => format!(
            "{name} calls itself, directly or through others, takes other arguments, or makes the kernel too long"
        ),
    }
}

/// The function, without its body and what its body declares.
fn empty_like(source: &Function) -> Function {
    Function {
        registers: Vec::new(),
        body: Vec::new(),
        labels: Vec::new(),
        label_names: Vec::new(),
        shared: Vec::new(),
        local: Vec::new(),
        call_params: Vec::new(),
        branch_tables: Vec::new(),
        ..source.clone()
    }
}

struct Inliner<'a> {
    module: &'a Module,
    locations: &'a mut Vec<Location>,
    /// The kernel with everything written out.
    out: Function,
    /// Names of the functions whose bodies are being written.
    path: Vec<String>,
    /// Calls so far.
    calls: usize,
}

/// One body that is being written: a kernel's, or a function's for one call.
#[derive(Default)]
struct Frame {
    /// What its registers, labels and tables count from.
    first_register: u32,
    first_label: u32,
    first_table: u32,
    /// The names that its variables and parameters have in the kernel.
    names: HashMap<String, String>,
    /// Where a return goes; None: it ends the thread.
    end: Option<LabelId>,
    /// Where it was called.
    called_at: Option<LocId>,
    locations: HashMap<LocId, LocId>,
}

/// What a call names.
struct Call<'a> {
    name: &'a str,
    results: Vec<&'a str>,
    arguments: Vec<&'a str>,
}

impl<'a> Call<'a> {
    /// None if the function is not named, or an argument is no variable.
    fn of(instruction: &'a Instruction) -> Option<Call<'a>> {
        let variables = |group: &'a Operand| match group {
            Operand::Group(all) => all.iter().map(symbol).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let (results, rest) = match instruction.operands.as_slice() {
            [results @ Operand::Group(_), rest @ ..] => (variables(results)?, rest),
            rest => (Vec::new(), rest),
        };
        let [function, rest @ ..] = rest else { return None };
        let arguments = rest.first().map_or(Some(Vec::new()), variables)?;
        Some(Call { name: symbol(function)?, results, arguments })
    }
}

fn symbol(operand: &Operand) -> Option<&str> {
    match operand {
        Operand::Symbol { name, offset: 0 } => Some(name),
        _ => None,
    }
}

/// The function of a name, which may be an alias.
fn callee<'m>(module: &'m Module, name: &str) -> Option<&'m Function> {
    let name = module.aliases.get(name).map_or(name, String::as_str);
    module.functions.iter().find(|function| function.kind == FunctionKind::Device && function.name == name)
}

impl Inliner<'_> {
    /// Writes the body of a function to the end of the kernel.
    fn expand(&mut self, source: &Function, frame: &mut Frame) {
        frame.first_register = self.out.registers.len() as u32;
        frame.first_label = self.out.labels.len() as u32;
        frame.first_table = self.out.branch_tables.len() as u32;
        self.out.registers.extend(source.registers.iter().cloned());
        // Their places follow when the body is there.
        self.out.labels.extend(&source.labels);
        self.out.label_names.extend(source.label_names.iter().cloned());
        for table in &source.branch_tables {
            let targets = table.targets.iter().map(|target| LabelId(target.0 + frame.first_label)).collect();
            self.out.branch_tables.push(BranchTable { name: table.name.clone(), targets });
        }
        for variable in source.local.iter().chain(&source.call_params) {
            let name = format!("{}#{}", variable.name, self.out.local.len());
            frame.names.insert(variable.name.clone(), name.clone());
            self.out.local.push(Variable { name, space: Space::Local, ..variable.clone() });
        }
        // One for all calls, as on a GPU.
        for variable in &source.shared {
            if self.out.shared.iter().all(|known| known.name != variable.name) {
                self.out.shared.push(variable.clone());
            }
        }
        let mut places = Vec::with_capacity(source.body.len() + 1);
        for instruction in &source.body {
            places.push(self.out.body.len());
            let instruction = self.moved(instruction, frame);
            match instruction.opcode.as_str() {
                "ret" if frame.end.is_some() => self.go_to(&instruction, frame.end, instruction.guard),
                "call" => self.call(instruction),
                "brx" => self.branch_by_table(instruction),
                _ => self.out.body.push(instruction),
            }
        }
        places.push(self.out.body.len());
        for (label, place) in source.labels.iter().enumerate() {
            self.out.labels[frame.first_label as usize + label] = places[*place];
        }
    }

    /// An instruction as it stands in the kernel.
    fn moved(&mut self, instruction: &Instruction, frame: &mut Frame) -> Instruction {
        let mut out = instruction.clone();
        out.guard = out.guard.map(|guard| Guard { register: moved_register(guard.register, frame), ..guard });
        out.source = out.source.map(|source| self.located(source, frame)).or(frame.called_at);
        let mut renamed = false;
        out.operands.iter_mut().for_each(|operand| move_operand(operand, frame, &mut renamed));
        if renamed && matches!(out.opcode.as_str(), "ld" | "st") {
            for modifier in out.modifiers.iter_mut().filter(|modifier| modifier.starts_with("param")) {
                *modifier = "local".to_owned();
            }
        }
        out
    }

    /// A place in the source, with the call in what led there.
    fn located(&mut self, id: LocId, frame: &mut Frame) -> LocId {
        let Some(call) = frame.called_at else { return id };
        if let Some(&known) = frame.locations.get(&id) {
            return known;
        }
        let Some(location) = self.locations.get(id.0).cloned() else { return id };
        let inlined_at = location.inlined_at.map_or(call, |outer| self.located(outer, frame));
        self.locations.push(Location { inlined_at: Some(inlined_at), ..location });
        let new = LocId(self.locations.len() - 1);
        frame.locations.insert(id, new);
        new
    }

    /// Writes out a call, or leaves it as it is.
    fn call(&mut self, call: Instruction) {
        let module = self.module;
        let Some(Call { name, results, arguments }) = Call::of(&call) else {
            return self.call_through_pointer(call);
        };
        if let Some(runtime) = crate::decode::runtime::Function::named(name) {
            let end = self.skipped_by(&call);
            let written = runtime.instructions(&call, &results, &arguments, &mut self.out.registers);
            self.out.body.extend(written);
            return self.place(end);
        }
        let fits = |callee: &Function| callee.params.len() == arguments.len() && callee.returns.len() == results.len();
        match callee(module, name) {
            Some(callee) if fits(callee) && self.may_write_out(callee) => {
                let end = self.skipped_by(&call);
                self.write_out(&call, callee, &results, &arguments);
                self.place(end);
            }
            _ => self.out.body.push(call),
        }
    }

    /// Whether the body of a function can stand here: it is not inside itself, and there is room.
    fn may_write_out(&self, callee: &Function) -> bool {
        let recursive = self.path.contains(&callee.name) || self.path.len() == MOST_DEEP;
        !recursive && self.calls < MOST_CALLS && self.out.body.len() + callee.body.len() < MOST_WRITTEN
    }

    /// Writes the body of a function for a call.
    fn write_out(&mut self, call: &Instruction, callee: &Function, results: &[&str], arguments: &[&str]) {
        let end = self.new_label();
        let names = callee.returns.iter().chain(&callee.params).zip(results.iter().chain(arguments));
        let names = names.map(|(param, given)| (param.name.clone(), (*given).to_owned())).collect();
        let mut frame = Frame { names, end: Some(end), called_at: call.source, ..Frame::default() };
        self.calls += 1;
        self.path.push(callee.name.clone());
        self.expand(callee, &mut frame);
        self.path.pop();
        self.place(end);
    }

    fn new_label(&mut self) -> LabelId {
        self.out.labels.push(0);
        self.out.label_names.push("behind the call".to_owned());
        LabelId(self.out.labels.len() as u32 - 1)
    }

    /// A label behind a call, where lanes go on that the call's guard leaves out.
    fn skipped_by(&mut self, call: &Instruction) -> LabelId {
        let end = self.new_label();
        if let Some(guard) = call.guard {
            self.go_to(call, Some(end), Some(Guard { negated: !guard.negated, ..guard }));
        }
        end
    }

    fn place(&mut self, label: LabelId) {
        self.out.labels[label.0 as usize] = self.out.body.len();
    }

    /// Writes a branch.
    fn go_to(&mut self, like: &Instruction, label: Option<LabelId>, guard: Option<Guard>) {
        let operands = label.map(Operand::Label).into_iter().collect();
        self.out.body.push(plain(like, "bra", &[], operands, guard));
    }

    /// Writes a comparison and a branch for each place of a table. The table's own branch stays behind them: who reaches it
    /// has an index outside of the table.
    fn branch_by_table(&mut self, branch: Instruction) {
        let [index, Operand::BranchTable(TableId(table))] = branch.operands.as_slice() else {
            return self.out.body.push(branch);
        };
        let (index, targets) = (index.clone(), self.out.branch_tables[*table as usize].targets.clone());
        let end = self.skipped_by(&branch);
        self.out.registers.push(Register { name: "%is".to_owned(), class: RegisterClass::Pred });
        let is = RegisterId(self.out.registers.len() as u32 - 1);
        for (place, target) in targets.into_iter().enumerate() {
            let operands = vec![Operand::Register(is), index.clone(), Operand::Integer(place as i128)];
            self.out.body.push(plain(&branch, "setp", &["eq", "u32"], operands, None));
            self.go_to(&branch, Some(target), Some(Guard { register: is, negated: false }));
        }
        self.out.body.push(plain(&branch, "brx", &["idx"], vec![index], None));
        self.place(end);
    }
}

/// An instruction at the place of another.
pub(in crate::decode) fn plain(
    like: &Instruction,
    opcode: &str,
    modifiers: &[&str],
    operands: Vec<Operand>,
    guard: Option<Guard>,
) -> Instruction {
    Instruction {
        guard,
        opcode: opcode.to_owned(),
        modifiers: modifiers.iter().map(|&word| word.to_owned()).collect(),
        operands,
        position: like.position,
        source: like.source,
        inline_assembly: like.inline_assembly,
        used_bytes: None,
    }
}

fn moved_register(id: RegisterId, frame: &Frame) -> RegisterId {
    RegisterId(id.0 + frame.first_register)
}

fn move_operand(operand: &mut Operand, frame: &Frame, renamed: &mut bool) {
    let mut rename = |name: &mut String| {
        if let Some(new) = frame.names.get(name) {
            new.clone_into(name);
            *renamed = true;
        }
    };
    match operand {
        Operand::Register(id) | Operand::NotRegister(id) => *id = moved_register(*id, frame),
        Operand::Label(id) => id.0 += frame.first_label,
        Operand::BranchTable(id) => id.0 += frame.first_table,
        Operand::Symbol { name, .. } => rename(name),
        Operand::Address { base, coordinates, .. } => {
            match base {
                AddressBase::Register(id) => *id = moved_register(*id, frame),
                AddressBase::Symbol(name) => rename(name),
                AddressBase::Absolute(_) => {}
            }
            coordinates.iter_mut().for_each(|one| move_operand(one, frame, renamed));
        }
        Operand::Pair(one, other) => {
            move_operand(one, frame, renamed);
            move_operand(other, frame, renamed);
        }
        Operand::Vector(all) | Operand::Group(all) => {
            all.iter_mut().for_each(|one| move_operand(one, frame, renamed));
        }
        _ => {}
    }
}
