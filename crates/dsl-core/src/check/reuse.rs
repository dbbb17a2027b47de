//! Do all `cache` rules reuse in one way, with a forecast that the cache can hold?

use sparsym_ir::strategy::{Action, MOST_ORDER, Reuse, Strategy};
use sparsym_ir::{Code, Finding, Findings};

use super::interval::Known;

/// Orders of a forecast.
const ORDERS: std::ops::RangeInclusive<i64> = 0..=MOST_ORDER as i64;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    let mut cache = strategy.rules.iter().filter(|rule| rule.action == Action::Cache);
    let Some(first) = cache.next() else { return };
    for rule in cache.filter(|rule| rule.reuse != first.reuse) {
        findings.push(
            Finding::at(
                Code::ReuseDisagrees,
                rule.span,
                "this rule reuses the cache in another way than the first",
                "write the same `by …` on every `cache` rule; none means `by hold`",
            )
            .label(first.span, "the first `cache` rule"),
        );
    }
    for rule in &strategy.rules {
        let Some(Reuse::Taylor(order)) = &rule.reuse else { continue };
        let orders = Known::anywhere(strategy).int(order);
        if !(ORDERS.contains(&orders.lo) && ORDERS.contains(&orders.hi)) {
            let (message, help) = match orders.lo == orders.hi {
                true => (format!("a forecast of order {} is outside 0..=3", orders.lo), "use an order from 0 to 3"),
                false => (
                    format!("this order may be anything in {}..={}, outside 0..=3", orders.lo, orders.hi),
                    "give the param a range: `param order: u32 in 0..=3 = 2;`",
                ),
            };
            findings.push(Finding::at(Code::ForecastOrder, order.span, message, help));
        }
    }
}
