//! The rules of the parser, one small text each.

use ptx_emulator::syntax::*;

/// A module with this text after the header.
fn module(text: &str) -> Result<Module, SyntaxError> {
    parse(&format!(".version 9.0\n.target sm_90a\n.address_size 64\n{text}"))
}

/// The function whose body this is.
fn body(text: &str) -> Function {
    let registers = ".reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<99>; .reg .f32 %f<9>; .reg .b64 %rd<9>;";
    let mut module = module(&format!(".entry k(.param .u64 k_param_0)\n{{ {registers}\n{text}\n}}")).unwrap();
    module.functions.remove(0)
}

/// The first operands of the only instruction, and the registers they name.
fn operands(text: &str) -> (Vec<Operand>, Vec<String>) {
    let mut function = body(text);
    assert_eq!(function.body.len(), 1);
    (function.body.remove(0).operands, function.registers.into_iter().map(|register| register.name).collect())
}

/// The message for this text after the header, which has three lines.
fn error(text: &str) -> String {
    module(text).unwrap_err().to_string()
}

/// The message for this body on line 5.
fn body_error(text: &str) -> String {
    error(&format!(".entry k() {{\n{text}\n}}"))
}

fn register(id: u32) -> Operand {
    Operand::Register(RegisterId(id))
}

fn symbol(name: &str, offset: i64) -> Operand {
    Operand::Symbol { name: name.to_owned(), offset }
}

fn printed(function: &Function) -> Vec<String> {
    (0..function.body.len()).map(|index| function.print(index).to_string()).collect()
}

#[test]
fn the_header_names_version_and_target() {
    let module = parse(".version 8.7 .target sm_90a, debug .address_size 64").unwrap();
    assert_eq!((module.version, module.target.as_str()), ((8, 7), "sm_90a"));
    let error = |text| parse(text).unwrap_err().to_string();
    assert_eq!(error(""), "line 1, column 1: expected `.version`, found the end of the text");
    assert_eq!(error(".version 9"), "line 1, column 10: expected a version such as `9.0`, found `9`");
    assert_eq!(error(".version 9.0 .target 3"), "line 1, column 22: expected an architecture, found `3`");
    assert_eq!(
        error(".version 9.0 .target sm_80\n.address_size 32"),
        "line 2, column 15: expected addresses of 64 bits, found `32`"
    );
}

#[test]
fn guard_opcode_and_modifiers() {
    let function =
        body("  @!%p1 cp.async.bulk.shared::cluster.mbarrier::complete_tx::bytes.L2::128B.m16n8k16.v4.2d 1;");
    let instruction = &function.body[0];
    assert_eq!(instruction.guard, Some(Guard { register: RegisterId(0), negated: true }));
    assert_eq!(instruction.opcode, "cp");
    assert_eq!(
        instruction.modifiers,
        ["async", "bulk", "shared::cluster", "mbarrier::complete_tx::bytes", "L2::128B", "m16n8k16", "v4", "2d",]
    );
    assert_eq!(instruction.position, Position { line: 6, column: 3 });
    assert!(!instruction.inline_assembly);
}

#[test]
fn immediates() {
    let (operands, _) =
        operands("mov.b32 -5, 0x1fU, 18446744073709551615, 0f3F800000, 0d3FF0000000000000, 1.5, -2.0, WARP_SZ;");
    assert_eq!(
        operands,
        [
            Operand::Integer(-5),
            Operand::Integer(31),
            Operand::Integer(u64::MAX.into()),
            Operand::Float32(0x3F80_0000),
            Operand::Float64(1f64.to_bits()),
            Operand::Float64(1.5f64.to_bits()),
            Operand::Float64((-2f64).to_bits()),
            Operand::Integer(32),
        ]
    );
    assert_eq!(body_error("mov.b32 0f12, 1;"), "line 5, column 9: `0f12` is not a number");
}

#[test]
fn names_are_registers_specials_or_symbols() {
    let (operands, registers) = operands("mov.b64 %rd1, %rd2, k_param_0, sm+16, %tid.x, %laneid, !%p1, _;");
    assert_eq!(
        operands,
        [
            register(0),
            register(1),
            symbol("k_param_0", 0),
            symbol("sm", 16),
            Operand::Special("%tid.x".to_owned()),
            Operand::Special("%laneid".to_owned()),
            Operand::NotRegister(RegisterId(2)),
            Operand::Sink,
        ]
    );
    assert_eq!(registers, ["%rd1", "%rd2", "%p1"]);
}

#[test]
fn addresses() {
    let address = |base, offset, coordinates| Operand::Address { base, offset, coordinates };
    let rd1 = AddressBase::Register(RegisterId(0));
    let (operands, _) = operands("x [%rd1], [%rd1+-8], [%rd1-8], [sm+4], [16], [-1], [%rd1, {%r1, 3}];");
    assert_eq!(
        operands,
        [
            address(rd1.clone(), 0, vec![]),
            address(rd1.clone(), -8, vec![]),
            address(rd1.clone(), -8, vec![]),
            address(AddressBase::Symbol("sm".to_owned()), 4, vec![]),
            address(AddressBase::Absolute(16), 0, vec![]),
            address(AddressBase::Absolute(-1), 0, vec![]),
            address(rd1, 0, vec![register(1), Operand::Integer(3)]),
        ]
    );
    assert_eq!(body_error("x [a+1.5];"), "line 5, column 6: expected an offset, found `1.5`");
    assert_eq!(
        body_error("x [a-18446744073709551615];"),
        "line 5, column 5: expected an offset of 64 bits, found `-18446744073709551615`"
    );
}

#[test]
fn pairs_vectors_and_groups() {
    let (operands, _) = operands("x %r1|%p1, _|%p1, {%r1, {%r2}}, (), (a);");
    let pair = |first, second| Operand::Pair(Box::new(first), Box::new(second));
    assert_eq!(
        operands,
        [
            pair(register(0), register(1)),
            pair(Operand::Sink, register(1)),
            Operand::Vector(vec![register(0), Operand::Vector(vec![register(2)])]),
            Operand::Group(vec![]),
            Operand::Group(vec![symbol("a", 0)]),
        ]
    );
}

#[test]
fn registers_have_widths_and_belong_to_scopes() {
    let function = body(
        "{ .reg .f16 p, q; .reg .pred r; mov p, q; mov r, %f1; }
         { .reg .b64 p; mov p, %rd1; { .reg .bf16x2 p; mov p, %rd1; } mov p, %rs1; }",
    );
    let registers: Vec<_> = function.registers.iter().map(|r| (r.name.as_str(), r.class)).collect();
    use RegisterClass::*;
    assert_eq!(
        registers,
        [("p", B16), ("q", B16), ("r", Pred), ("%f1", B32), ("p", B64), ("%rd1", B64), ("p", B32), ("%rs1", B16),]
    );
    let operands: Vec<_> = function.body.iter().map(|i| i.operands.clone()).collect();
    assert_eq!(operands[0], [register(0), register(1)]);
    assert_eq!(
        operands[2..],
        [
            [register(4), register(5)], //
            [register(6), register(5)],
            [register(4), register(7)],
        ]
    );
}

#[test]
fn registers_must_be_declared_once() {
    assert_eq!(body_error("mov.b32 %r1, 2;"), "line 5, column 9: the register `%r1` is not declared");
    assert_eq!(body_error(".reg .b32 %r<2>; neg %r2;"), "line 5, column 22: the register `%r2` is not declared");
    assert_eq!(body_error(".reg .b32 %r<2>; neg %r01;"), "line 5, column 22: the register `%r01` is not declared");
    assert_eq!(body_error("@%p9 ret;"), "line 5, column 2: the register `%p9` is not declared");
    assert!(module(".entry k() { .reg .b32 a1<5>; neg a10, a14; }").is_ok());
    assert_eq!(body_error("@x ret;"), "line 5, column 2: expected a register, found `x`");
    assert_eq!(body_error(".reg .b32 a, a;"), "line 5, column 14: `a` is declared twice in this scope");
    assert_eq!(
        body_error(".reg .b32 %r<2>; .reg .b16 %r<3>;"),
        "line 5, column 28: `%r<…>` is declared twice in this scope"
    );
    assert_eq!(
        body_error(".reg .b32 %r<4000000000>;"),
        "line 5, column 11: `%r<4000000000>` has more than 1048576 registers"
    );
    assert_eq!(body_error(".reg .b8 a;"), "line 5, column 6: expected a type of registers, found `.b8`");
}

#[test]
fn labels_are_found_innermost_first_and_below() {
    let function = body(
        "W: nop;
         { @%p1 bra W; W: bra.uni D; }
         { W: bra W; { bra W; } }
         bra W; D:",
    );
    let targets: Vec<_> = function
        .body
        .iter()
        .filter_map(|i| match i.operands[..] {
            [Operand::Label(LabelId(id))] => Some(function.labels[id as usize]),
            _ => None,
        })
        .collect();
    assert_eq!(targets, [2, 6, 3, 3, 0]);
    assert_eq!(function.label_names, ["W", "W", "W", "D"]);
    assert_eq!(body_error("bra X;"), "line 5, column 5: the label `X` is not defined");
    assert_eq!(body_error("{ X: } bra X;"), "line 5, column 12: the label `X` is not defined");
    assert_eq!(body_error("X: X:"), "line 5, column 4: the label `X` is defined twice in this scope");
    assert_eq!(body_error("bra 4;"), "line 5, column 5: expected a label, found `4`");
}

#[test]
fn indirect_branches_name_a_table() {
    let function = body("A: brx.idx %r1, ts; ts: .branchtargets A, B, A; B: ret;");
    assert_eq!(function.body[0].operands, [register(0), Operand::BranchTable(TableId(0))]);
    let targets: Vec<_> = function.branch_tables[0].targets.iter().map(|id| function.labels[id.0 as usize]).collect();
    assert_eq!(targets, [0, 1, 0]);
    assert_eq!(printed(&function), ["brx.idx %r1, ts;", "ret;"]);
    assert_eq!(body_error("brx.idx a, b;"), "line 5, column 12: the table of branch targets `b` is not defined");
    assert_eq!(
        body_error("t: .branchtargets; t: .branchtargets;"),
        "line 5, column 20: the table `t` is defined twice in this scope"
    );
    assert_eq!(body_error("t: .branchtargets A;"), "line 5, column 19: the label `A` is not defined");
}

#[test]
fn inline_assembly_is_marked() {
    let function = body("nop;\n// begin inline asm\n nop; ; nop;\n// end inline asm\nnop;");
    let marks: Vec<_> = function.body.iter().map(|i| i.inline_assembly).collect();
    assert_eq!(marks, [false, true, true, false]);
}

#[test]
fn a_mask_of_used_bytes_is_for_the_next_load() {
    let function = body(
        ".pragma \"nounroll\";
         .pragma \"used_bytes_mask 15\";
         mov.b32 %r1, 0; ld.global.v2.b32 {%r1, %r2}, [%rd1]; ld.global.b32 %r1, [%rd1];
         .pragma \"used_bytes_mask 0xff\"; ld.b32 %r1, [%rd1];",
    );
    let masks: Vec<_> = function.body.iter().map(|i| i.used_bytes).collect();
    assert_eq!(masks, [None, Some(15), None, Some(255)]);
    assert_eq!(
        body_error(".pragma \"used_bytes_mask x\";"),
        "line 5, column 9: expected an integer as mask of bytes, found `x`"
    );
}

#[test]
fn calls_have_their_own_variables_and_prototypes() {
    let function = body(
        "{ .reg .b32 temp_param_reg; .param .align 8 .b8 param0[12]; st.param.b32 [param0+8], 1;
           .param .b32 retval0; call.uni (retval0),
           helper,
           (
           param0
           ); }
         { .param .b32 param0; p : .callprototype (.param .b32 _) _ (.param .b32 _, .param .b64 _);
           call (param0), %rd1, (param0), p; }",
    );
    let names: Vec<_> = function.call_params.iter().map(|v| (v.name.as_str(), v.bytes)).collect();
    assert_eq!(names, [("param0", Some(12)), ("retval0", Some(4)), ("param0#1", Some(4))]);
    let group = |name| Operand::Group(vec![symbol(name, 0)]);
    assert_eq!(function.body[1].operands, [group("retval0"), symbol("helper", 0), group("param0")]);
    assert_eq!(function.body[2].operands[2], group("param0#1"));
    assert_eq!(
        printed(&function)[1..],
        [
            "call.uni (retval0), helper, (param0);", //
            "call (param0), %rd1, (param0), p;",
        ]
    );
    let prototype = &function.prototypes[0];
    assert_eq!((prototype.name.as_str(), prototype.returns.len(), prototype.params[1].offset), ("p", 1, 8));
}

#[test]
fn params_are_laid_out_as_in_c() {
    let module = module(
        ".func (.param .b32 r) f(.param .u8 a, .param .align 16 .b8 b[20], .param .u64 .ptr .global .align 4 c,
           .param .v2 .f32 d) { ret; }",
    )
    .unwrap();
    let function = &module.functions[0];
    let layout: Vec<_> = function.params.iter().map(|p| (p.name.as_str(), p.offset, p.bytes, p.align)).collect();
    assert_eq!(layout, [("a", 0, 1, 1), ("b", 16, 20, 16), ("c", 40, 8, 8), ("d", 48, 8, 8)]);
    assert_eq!((function.kind, function.returns[0].bytes), (FunctionKind::Device, 4));
    assert_eq!(
        error(".entry f(.param .b8 a[18446744073709551615], .param .b8 b[2]) {}"),
        "line 4, column 57: `b` ends beyond the 64-bit address space"
    );
}

#[test]
fn entries_say_how_they_are_launched() {
    let module = module(
        ".visible .entry k() .maxntid 384, 1, 1 .reqntid 32 .minnctapersm 2 .maxnreg 64 .explicitcluster
           .reqnctapercluster 2, 3 .maxclusterrank 8 .noreturn { ret; }",
    )
    .unwrap();
    assert_eq!(module.functions[0].kind, FunctionKind::Entry);
    assert_eq!(
        module.functions[0].directives,
        Directives {
            max_threads: Some([384, 1, 1]),
            required_threads: Some([32, 1, 1]),
            min_ctas: Some(2),
            max_registers: Some(64),
            required_cluster: Some([2, 3, 1]),
            max_cluster_rank: Some(8),
            explicit_cluster: true,
            noreturn: true,
        }
    );
    assert_eq!(
        error(".entry k() .fast { }"),
        "line 4, column 12: expected a directive that may stand before a body, found `.fast`"
    );
}

#[test]
fn a_definition_replaces_its_declarations() {
    let text = ".extern .func (.param .b32 r) vprintf(.param .b64 a);
                .func f(); .func f() { ret; } .func f();";
    let functions = module(text).unwrap().functions;
    let kinds: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.kind, f.body.len())).collect();
    assert_eq!(kinds, [("vprintf", FunctionKind::Extern, 0), ("f", FunctionKind::Device, 1)]);
    assert_eq!(error(".func f() {} .func f() {}"), "line 4, column 20: the function `f` is defined twice");
}

#[test]
fn variables_have_sizes_and_initial_values() {
    let module = module(
        ".extern .shared .align 1024 .b8 sm[];
         .const .align 4 .b8 t[256] = {0, 255};
         .global .align 8 .u64 p[3] = {generic($str)+8, f, -1};
         .visible .global .attribute(.unified(1, 2)) .f32 g = 0f3F800000;
         .weak .global .s16 m[2][3];
         .global .b8 text[] = {97, 98, 0};",
    )
    .unwrap();
    let shown: Vec<_> = module
        .variables
        .iter()
        .map(|v| (v.name.as_str(), v.space, v.linkage, v.align, v.element_bytes, v.bytes, v.init.len()))
        .collect();
    use {Linkage::*, Space::*};
    assert_eq!(
        shown,
        [
            ("sm", Shared, Extern, 1024, 1, None, 0),
            ("t", Const, Internal, 4, 1, Some(256), 2),
            ("p", Global, Internal, 8, 8, Some(24), 3),
            ("g", Global, Visible, 4, 4, Some(4), 1),
            ("m", Global, Weak, 2, 2, Some(12), 0),
            ("text", Global, Internal, 1, 1, Some(3), 3),
        ]
    );
    let address = |name: &str, offset, generic| InitValue::Address { name: name.to_owned(), offset, generic };
    assert_eq!(module.variables[2].init, [address("$str", 8, true), address("f", 0, false), InitValue::Integer(-1)]);
    assert_eq!(module.variables[3].init, [InitValue::Float32(0x3F80_0000)]);
}

#[test]
fn impossible_variables_are_refused() {
    let huge = ".global .b64 x[4294967296][4294967296];";
    assert_eq!(error(huge), "line 4, column 28: the array is larger than the 64-bit address space");
    assert_eq!(error(".global .b8 x[1] = {1, 2};"), "line 4, column 13: `x` has more initial values than elements");
    assert_eq!(error(".global .align 3 .b8 x;"), "line 4, column 16: expected a power of two as alignment, found `3`");
    assert_eq!(error(".global x;"), "line 4, column 9: expected a type, found `x`");
    assert_eq!(body_error(".global .b8 x;"), "line 5, column 13: expected a variable of this space outside functions");
}

#[test]
fn locations_follow_the_chain_of_inlined_calls() {
    let module = module(
        ".entry k() {
           nop;
           .loc 1 24 3
           .loc 1 11 18, function_name $L__info_string0, inlined_at 1 24 3
           .loc 1 10 18, function_name $L__info_string1, inlined_at 1 11 18
           nop;
           .loc 1 24 3
           nop;
           .loc 2 5 0, function_name $L__info_string9, inlined_at 7 8 9
           nop; }
         .entry l() { nop; }
         .file 1 \"a b.cu\"
         .section .debug_str { $L__info_string0: .b8 97,98,0
           $L__info_string1: .b8 99
           .b8 100,0 }
         .section .debug_abbrev { .b8 1 .b32 .debug_info x: }",
    )
    .unwrap();
    assert_eq!(module.files, [SourceFile { index: 1, path: "a b.cu".to_owned() }]);
    assert_eq!(module.strings["$L__info_string1"], "cd");
    let chain = |mut at: Option<LocId>| {
        let mut places = Vec::new();
        while let Some(LocId(index)) = at {
            let location = &module.locations[index];
            places.push((location.line, location.function.as_deref().unwrap_or("-")));
            at = location.inlined_at;
        }
        places
    };
    let chains: Vec<_> = module.functions[0].body.iter().map(|i| chain(i.source)).collect();
    assert_eq!(
        chains,
        [vec![], vec![(10, "cd"), (11, "ab"), (24, "-")], vec![(24, "-")], vec![(5, "$L__info_string9"), (8, "-")],]
    );
    assert_eq!(module.functions[1].body[0].source, None);
}

#[test]
fn unknown_directives_are_errors() {
    assert_eq!(error(".texref t;"), "line 4, column 1: expected a directive, found `.texref`");
    assert_eq!(error(".visible x"), "line 4, column 10: expected a function or a variable, found `x`");
    assert_eq!(
        body_error(".texref t;"),
        "line 5, column 1: expected a directive that may stand in a function, found `.texref`"
    );
    assert_eq!(error(".section .x { "), "line 4, column 15: expected `}`, found the end of the text");
    let module = module(".alias a, f; .pragma \"x\";").unwrap();
    assert_eq!(module.aliases["a"], "f");
}

#[test]
fn mistakes_are_named_where_they_stand() {
    assert_eq!(body_error("add.s32 a b;"), "line 5, column 11: expected `,` or `;`, found `b`");
    assert_eq!(body_error("add.s32 a, ;"), "line 5, column 12: expected an operand, found `;`");
    assert_eq!(body_error("5;"), "line 5, column 1: expected a statement or `}`, found `5`");
    assert_eq!(error(".entry k() {"), "line 4, column 13: expected a statement or `}`, found the end of the text");
    assert_eq!(error(".entry k() x"), "line 4, column 12: expected `{` or `;`, found `x`");
    let long = "x".repeat(100);
    assert_eq!(
        body_error(&format!("a b {long};")),
        format!("line 5, column 5: expected `,` or `;`, found `{}…`", &long[..40])
    );
}

#[test]
fn nesting_is_limited() {
    assert!(module(&format!(".entry k() {{ {}{} }}", "{".repeat(64), "}".repeat(64))).is_ok());
    assert!(body_error(&"{".repeat(100_000)).ends_with("scopes nest more than 64 deep"));
    assert!(body_error(&format!("x {}", "{".repeat(100_000))).ends_with("brackets nest more than 8 deep"));
    assert!(body_error(&format!("x {}", "[a, ".repeat(100_000))).ends_with("expected `{`, found `[`"));
}
