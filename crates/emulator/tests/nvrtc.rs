//! Texts that NVRTC printed.

use std::path::Path;

use ptx_emulator::syntax::{FunctionKind, Module, Space, parse};

/// A text of `ptx-input`.
fn read(name: &str) -> (String, Module) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx-input").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let module = parse(&text).unwrap();
    (text, module)
}

/// Each instruction, without spaces: as printed, and as it stands in the text.
fn instructions(text: &str, module: &Module) -> Vec<(String, String)> {
    let lines: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let mut pairs = Vec::new();
    for function in &module.functions {
        for (index, instruction) in function.body.iter().enumerate() {
            let position = instruction.position;
            let start = lines[position.line as usize - 1] + position.column as usize - 1;
            let written = text[start..].split_inclusive(';').next().unwrap();
            pairs.push((dense(&function.print(index).to_string()), dense(written).replace("+0]", "]")));
        }
    }
    pairs
}

#[test]
fn instructions_print_as_they_were_written() {
    for (name, count) in [("softcap_attention_sm_80.ptx", 1996), ("document_symbols_sm_80.ptx", 394)] {
        let (text, module) = read(name);
        let pairs = instructions(&text, &module);
        for (printed, written) in &pairs {
            assert_eq!(printed, written, "{name}");
        }
        assert_eq!(pairs.len(), count, "{name}");
    }
}

#[test]
fn only_the_spelling_of_handwritten_numbers_changes() {
    let (text, module) = read("misc_sm_90a.ptx");
    let differing: Vec<_> = instructions(&text, &module)
        .into_iter()
        .filter(|(printed, written)| printed != written)
        .map(|(printed, _)| printed)
        .collect();
    assert_eq!(differing, ["mov.b32a,3;", "mul.f32%f2,%f3,0d3FF8000000000000;", "elect.sync_|p,4294967295;"]);
}

#[test]
fn a_module_with_everything() {
    let (_, module) = read("misc_sm_90a.ptx");
    let kinds: Vec<_> = module.functions.iter().map(|f| (f.name.as_str(), f.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("_Z2f1i", FunctionKind::Device),
            ("_Z2f2i", FunctionKind::Device),
            ("vprintf", FunctionKind::Extern),
            ("helper", FunctionKind::Device),
            ("_Z2mki", FunctionKind::Device),
            ("misc", FunctionKind::Entry),
            ("clus", FunctionKind::Entry),
            ("hop", FunctionKind::Entry),
        ]
    );
    let misc = &module.functions[5];
    let offsets: Vec<_> = misc.params.iter().map(|param| param.offset).collect();
    assert_eq!(offsets, [0, 32, 64, 72, 80]);
    assert_eq!(misc.directives.max_threads, Some([128, 1, 1]));
    let shared: Vec<_> = misc.shared.iter().map(|v| (v.name.as_str(), v.bytes)).collect();
    assert_eq!(shared, [("_ZZ4miscE4tile", Some(4224)), ("_ZZ4miscE3bar", Some(32))]);
    assert_eq!(misc.local.len(), 1);
    assert_eq!(misc.prototypes.len(), 1);
    assert!(misc.call_params.iter().all(|variable| variable.space == Space::Param));
    assert_eq!(misc.label_names.iter().filter(|name| *name == "LAB_WAIT").count(), 2);
    assert!(misc.body.iter().filter(|instruction| instruction.opcode == "trap").all(|trap| trap.inline_assembly));
}

#[test]
fn inlined_calls_can_be_followed() {
    let (_, module) = read("misc_sm_90a.ptx");
    let misc = &module.functions[5];
    let load = misc.body.iter().find(|i| i.opcode == "ld" && i.modifiers[0] == "const").unwrap();
    let mut chain = Vec::new();
    let mut at = load.source;
    while let Some(id) = at {
        let location = &module.locations[id.0];
        chain.push((location.line, location.column, location.function.as_deref()));
        at = location.inlined_at;
    }
    assert_eq!(chain, [(10, 18, Some("_Z4inl2f")), (11, 18, Some("_Z3inlf")), (24, 3, None)]);
}

#[test]
fn chains_end() {
    for name in ["document_symbols_sm_80.ptx", "misc_sm_90a.ptx"] {
        let (_, module) = read(name);
        for (index, location) in module.locations.iter().enumerate() {
            assert!(location.inlined_at.is_none_or(|caller| caller.0 < index), "{name}");
            assert!(module.files.iter().any(|file| file.index == location.file), "{name}");
        }
    }
}
