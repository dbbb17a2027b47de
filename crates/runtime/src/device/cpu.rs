//! The device that is always there.

use std::sync::{Arc, Once};

use sparsym_ir::{
    AttentionCall, AttentionOutput, DifferencesCall, Findings, GemmOCall, GemmQCall, Symbols, SymbolsCall, Tensor,
};

use super::contract::Device;
use super::host::{HostSession, Projections};
use super::measured::Measured;
use super::session::Session;
use crate::error::Error;

/// Attention and symbols on all cores, through `sparsym-cpu`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn session(&self) -> Result<Arc<dyn Session>, Error> {
        warn_if_slow();
        Ok(Arc::new(HostSession::new(*self)))
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        warn_if_slow();
        Measured::on_host(|| Ok(sparsym_cpu::symbols(call)?))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        warn_if_slow();
        Measured::on_host(|| Ok(sparsym_cpu::attention(call)?))
    }
}

impl Projections for Cpu {
    fn gemm_q(&self, call: &GemmQCall<'_>, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_cpu::gemm_q(call, q, means)
    }

    fn gemm_o(&self, call: &GemmOCall<'_>, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_cpu::gemm_o(call, y, partial)
    }

    fn differences(&self, call: &DifferencesCall<'_>, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
        sparsym_cpu::differences(call, partials)
    }
}

/// Says once in a process that this device is slow, if it was compiled to be.
fn warn_if_slow() {
    static SAID: Once = Once::new();
    warn_once(&SAID, sparsym_cpu::OPTIMISED);
}

fn warn_once(said: &Once, optimised: bool) {
    if !optimised {
        said.call_once(|| {
            tracing::warn!(
                "the cpu device was compiled without optimisation and takes 30 to 100 times as long\nhelp: add \
                 [profile.dev.package.\"*\"] with opt-level = 3 to Cargo.toml, or build with --release"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span;
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicUsize>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::WARN
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_slow_build_says_so_once() {
        let warnings = Warnings::default();
        let said = |optimised| {
            let once = Once::new();
            let before = warnings.0.load(Ordering::Relaxed);
            tracing::subscriber::with_default(warnings.clone(), || (0..3).for_each(|_| warn_once(&once, optimised)));
            warnings.0.load(Ordering::Relaxed) - before
        };
        assert_eq!((said(false), said(true)), (1, 0));
        const { assert!(sparsym_cpu::OPTIMISED, "this workspace optimises the crate in every profile") };
    }
}
