//! A kernel whose registers do not fit is right, so it runs; it is said once, and no strategy is refused for it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use sparsym_codegen::{Request, Room, Target, generate};
use sparsym_ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Strategy, Symbols, Tensor};
use sparsym_runtime::device::{Device, Emulator, emulator};
use sparsym_runtime::nvrtc::Search;
use sparsym_runtime::{Cache, Compiler};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps the words of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{value:?} "));
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = String::new();
        event.record(&mut Words(&mut words));
        self.0.lock().unwrap().push(words);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_kernel_that_spills_runs_and_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = Arc::new(Compiler::with(Search::run().into_result().unwrap(), Cache::at(folder.path())));
    let (strategy, problem) = (Strategy::dense(), Problem::self_attention(1, 100, 1, 128));
    let request =
        Request { head_dim: 128, ..Request::new(&strategy, Room::Attention, Target::parse("sm_80").unwrap()) };
    let text = generate(&request).unwrap().source;
    // Room for ten such CTAs on an SM leaves 48 registers, where the kernel wants five times as many.
    let (before, rest) = text.split_once("__launch_bounds__(").unwrap();
    let (_, after) = rest.split_once(')').unwrap();
    let crowded = format!("{before}__launch_bounds__(kThreads, 10){after}");

    let device = |text: Option<String>| {
        let device = Emulator::open(emulator::Settings::default()).unwrap().with_compiler(compiler.clone());
        text.into_iter().fold(device, |device, text| device.with_text(Room::Attention, text))
    };
    let bindings = Bindings::defaults(&strategy);
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let values = |phase: f32| (0..100 * 128).map(|i| (i as f32 * 0.37 + phase).sin()).collect::<Vec<f32>>();
    let [q, k, v] = [0.0, 1.0, 2.0].map(|phase| Tensor::from_f32(&problem.q_shape(), DType::Bf16, &values(phase)));
    let symbols = Symbols::dense(1, 1, problem.q_blocks(), problem.kv_blocks());
    let moment = Moment { steps: 1, ..Moment::default() };
    let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };

    let warnings = Warnings::default();
    let (expected, found) = tracing::subscriber::with_default(warnings.clone(), || {
        let spilling = device(Some(crowded));
        let found = [spilling.attention(&call).unwrap().o, spilling.attention(&call).unwrap().o];
        (device(None).attention(&call).unwrap().o, found)
    });
    assert!(found.iter().all(|o| *o == expected));
    let said = warnings.0.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("spills registers") && said[0].contains("sm_80"), "{}", said[0]);

    let spilling = Cache::at(folder.path()).spilling();
    assert_eq!(spilling.len(), 1, "the compiler was told of one such kernel: {spilling:?}");
    assert!(spilling[0].0.stores > 0 && spilling[0].1.starts_with("nvrtc"), "{spilling:?}");
}
