//! The compiler itself, on small texts. Without libnvrtc these tests fail with the search's own explanation.

use std::process::Command;

use sparsym_runtime::nvrtc::{CompileError, Image, Nvrtc, Search, Source};
use sparsym_runtime::{Error, ErrorKind};

fn nvrtc() -> Nvrtc {
    match Search::run().into_result() {
        Ok(nvrtc) => nvrtc,
        Err(error) => panic!("these tests compile CUDA text: {error}"),
    }
}

fn compile(text: &str, target: &str) -> Result<Image, Error> {
    let template = |line| (line >= 3).then(|| "parts/fragments/softmax.cuh".to_owned());
    nvrtc().compile(&Source { name: "tiny", strategy: "window", text, target, template: &template })
}

const TINY: &str = r#"
extern "C" __global__ void tiny(float* x, int n) {
    __shared__ float s[64];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = s[n - threadIdx.x];
}
extern "C" __global__ void second(float* x) { x[0] = 1.0f; }
"#;

#[test]
fn one_compile_gives_cubin_ptx_and_resources_of_every_kernel() {
    for target in ["sm_80", "sm_89", "sm_90a", "sm_120"] {
        let image = compile(TINY, target).unwrap();
        assert_eq!(&image.cubin[..4], b"\x7fELF");
        let ptx = std::str::from_utf8(&image.ptx).unwrap();
        assert!(ptx.contains(&format!(".target {target}")) && ptx.contains(".entry tiny"), "{ptx}");
        assert!(!ptx.contains('\0'));
        assert!(ptx.contains(".loc\t1 5 ") && ptx.contains(".file\t1 \"tiny.cu\""), "no lines of the text in {ptx}");
        assert_eq!(image.resources.keys().collect::<Vec<_>>(), ["second", "tiny"]);
        let (tiny, second) = (image.resources["tiny"], image.resources["second"]);
        assert!((1..=64).contains(&tiny.registers), "{tiny:?}");
        // Some targets count shared memory of the system with every kernel.
        assert_eq!((tiny.shared_bytes - second.shared_bytes, tiny.spill_stores, tiny.stack), (256, 0, 0));
    }
}

#[test]
fn equal_texts_give_equal_bytes() {
    let (a, b) = (compile(TINY, "sm_80").unwrap(), compile(TINY, "sm_80").unwrap());
    assert_eq!((a.cubin, a.ptx), (b.cubin, b.ptx));
}

#[test]
fn an_error_names_line_template_and_strategy() {
    let text = "\n\nextern \"C\" __global__ void tiny(float* x) {\n    x[0] = missing;\n}\n";
    let error = compile(text, "sm_80").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile);
    let shown = error.to_string();
    for part in [
        "the compiler refused kernel tiny of strategy window for sm_80",
        "tiny.cu:4: error: identifier \"missing\" is undefined",
        "templates/parts/fragments/softmax.cuh",
        ">    4 |     x[0] = missing;",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
}

#[test]
fn an_unused_variable_is_an_error() {
    let text = "extern \"C\" __global__ void tiny(float* x) { int unused = 3; x[0] = 1.0f; }";
    let error = compile(text, "sm_80").unwrap_err();
    assert!(error.downcast_ref::<CompileError>().unwrap().log.contains("unused"), "{error}");
}

#[test]
fn spilled_registers_are_counted() {
    // 80 live values a thread, and launch bounds that leave 32 registers.
    let text = r#"
extern "C" __global__ void __launch_bounds__(1024, 2) greedy(float* x, int n) {
    float r[80];
#pragma unroll
    for (int i = 0; i < 80; i++) r[i] = x[i * n + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 80; i++) x[i * n + 2 * threadIdx.x] = r[i] * r[79 - i];
}
"#;
    let spills = compile(text, "sm_80").unwrap().spills().expect("80 values do not fit into 32 registers");
    assert_eq!(spills.entry, "greedy");
    assert!(spills.stores > 0 && spills.loads > 0, "{spills}");
    assert_eq!(compile(TINY, "sm_80").unwrap().spills(), None);
}

#[test]
fn texts_and_targets_that_make_no_sense_are_errors() {
    let nul = compile("extern \"C\" __global__ void tiny() {}\0 // more", "sm_80").unwrap_err();
    assert!(nul.to_string().contains("holds a NUL at byte"), "{nul}");
    for target in ["sm_1", "compute_80", "", "sm_80\0", "--help"] {
        let error = compile(TINY, target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compiler, "{target}: {error}");
    }
    compile("", "sm_80").unwrap();
}

#[test]
fn several_threads_compile_at_once() {
    let nvrtc = nvrtc();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let nvrtc = &nvrtc;
            scope.spawn(move || {
                let text = format!("extern \"C\" __global__ void tiny(float* x) {{ x[0] = {n}.0f; }}");
                let source = Source { name: "tiny", strategy: "s", text: &text, target: "sm_80", template: &|_| None };
                nvrtc.compile(&source).unwrap();
            });
        }
    });
}

/// The library must be found by each way on its own. Each runs in a process of its own, because a loaded library is
/// found at once by the next search.
#[test]
fn the_library_is_found_as_a_file_a_folder_a_wheel_and_for_the_loader() {
    let library = nvrtc().path().canonicalize().unwrap();
    let folder = library.parent().unwrap().to_path_buf();
    let ways =
        [("SPARSYM_NVRTC", library.clone()), ("SPARSYM_NVRTC", folder.clone()), ("LD_LIBRARY_PATH", folder.clone())];
    for (variable, value) in ways {
        assert_child_compiles(&[(variable, &value)]);
    }
    let prefix = tempfile::tempdir().unwrap();
    for layout in ["cu13", "cuda_nvrtc"] {
        let nvidia = prefix.path().join("lib/python3.11/site-packages/nvidia").join(layout);
        std::fs::create_dir_all(&nvidia).unwrap();
        std::os::unix::fs::symlink(&folder, nvidia.join("lib")).unwrap();
        assert_child_compiles(&[("VIRTUAL_ENV", prefix.path())]);
        assert_child_compiles(&[("CONDA_PREFIX", prefix.path())]);
        std::fs::remove_dir_all(nvidia.parent().unwrap()).unwrap();
    }
}

fn assert_child_compiles(variables: &[(&str, &std::path::Path)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_compiles", "--ignored", "--nocapture"]).env_clear().env("PATH", "");
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{variables:?}: {text}");
}

#[test]
#[ignore = "run by the_library_is_found_…, in an environment that it makes"]
fn child_compiles() {
    compile(TINY, "sm_80").unwrap();
}
