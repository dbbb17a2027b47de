//! Generated kernels through compiler and cache.

use sparsym_codegen::{Kernel, Request, Room, Target, generate};
use sparsym_ir::Strategy;
use sparsym_runtime::compiler::{Compiler, ImageOrigin};
use sparsym_runtime::nvrtc::{CompileError, Image, Search};
use sparsym_runtime::{Cache, ErrorKind};

fn compiler(folder: &std::path::Path) -> Compiler {
    match Search::run().into_result() {
        Ok(nvrtc) => Compiler::with(nvrtc, Cache::at(folder)),
        Err(error) => panic!("these tests compile kernels: {error}"),
    }
}

fn dense(target: &str) -> Kernel {
    generate(&Request::new(&Strategy::dense(), Room::Attention, Target::parse(target).unwrap())).unwrap()
}

#[test]
fn a_generated_kernel_is_compiled_once_for_each_target() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = compiler(folder.path());
    for target in ["sm_80", "sm_90a"] {
        let kernel = dense(target);
        let first = compiler.compile(&kernel, "dense").unwrap();
        assert_eq!(first.origin, ImageOrigin::Compiler);
        let resources = first.image.resources[&kernel.name];
        assert!(resources.registers > 0 && resources.spill_stores == 0, "{resources:?}");
        let second = compiler.compile(&kernel, "dense").unwrap();
        assert_eq!((second.origin, second.image), (ImageOrigin::Cache, first.image));
    }
    assert_eq!(compiler.cache().stats().entries, 2);
}

#[test]
fn ptx_is_the_same_without_machine_code() {
    let folder = tempfile::tempdir().unwrap();
    let [usual, without] = [compiler(folder.path()), compiler(folder.path()).without_machine_code()];
    for target in ["sm_80", "sm_90a"] {
        let kernel = dense(target);
        let [usual, without] = [&usual, &without].map(|compiler| compiler.compile(&kernel, "dense").unwrap());
        assert_eq!(without.origin, ImageOrigin::Compiler, "an entry of its own");
        let text = |image: &Image| String::from_utf8(image.ptx.clone()).unwrap();
        assert_eq!(text(&without.image), text(&usual.image));
        let names = |image: &Image| image.resources.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&without.image), names(&usual.image));
        assert!(without.image.cubin.is_empty() && !usual.image.cubin.is_empty());
    }
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = compiler(folder.path());
    let kernel = dense("sm_80");
    let first = compiler.compile(&kernel, "dense").unwrap();
    let entry = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&entry, "rubbish").unwrap();
    let again = compiler.compile(&kernel, "dense").unwrap();
    assert_eq!((again.origin, &again.image.cubin), (ImageOrigin::Compiler, &first.image.cubin));
    assert_eq!(compiler.compile(&kernel, "dense").unwrap().origin, ImageOrigin::Cache);
}

#[test]
fn a_compile_error_names_the_template_and_is_not_cached() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = compiler(folder.path());
    let mut kernel = dense("sm_80");
    let broken_line = kernel.source.lines().position(|line| line.contains("__global__")).unwrap() + 1;
    let template = kernel.origin(broken_line).unwrap().to_owned();
    kernel.source = kernel.source.replacen("__global__", "__global__ nonsense", 1);
    let error = compiler.compile(&kernel, "dense").unwrap_err();
    let details = error.downcast_ref::<CompileError>().unwrap_or_else(|| panic!("no compile error, but {error:?}"));
    let place = &details.places[0];
    assert_eq!((place.message.line, place.template.as_deref()), (broken_line, Some(&*template)));
    assert!(error.to_string().contains(&format!("made by templates/{template}")), "{error}");
    assert_eq!(compiler.cache().stats().entries, 0);
}

#[test]
fn a_text_without_the_kernel_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = dense("sm_80");
    kernel.source = "extern \"C\" __global__ void other() {}".to_owned();
    let error = compiler(folder.path()).compile(&kernel, "dense").unwrap_err();
    assert!(error.to_string().contains(&kernel.name), "{error}");
    assert_eq!(error.kind(), ErrorKind::Compiler);
}
