//% set wide = not step.rows
//% set lanes = step.threads if wide else 32
//% set rows_at_once = step.threads // 32
//% set direction = "descending" if step.descending else "ascending"
//% set is_mass = step.measure in ["mass", "mass_before"]
//% set sum = ("cta" if wide else "warp") ~ ("_sum" if is_mass else "_count")
// Cut ${ step.cut }: ${ step.words }
// over ${ step.lines }.
// The cut is the least key for which it does not hold, found bit by bit: what is compared grows
// with the key, and sums are taken in one order.
// Launch: a ${ "CTA" if wide else "warp" } for each line${ "" if wide else ", four in a CTA" }.
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    constexpr int kHeld = ${ step.held };    // keys that a lane holds; others are made again
//% if wide
    const int lane = threadIdx.x;
//% else
    const int lane = threadIdx.x % 32;
    const int i = blockIdx.x * ${ rows_at_once } + threadIdx.x / 32;
    if (i >= p.q_blocks) {
        return;
    }
//% endif
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int n = ${ step.elements };
//% set e = step.element
    u64 held[kHeld];
//% if is_mass
    float mass[kHeld];
//% endif
    UNROLL for (int at = 0; at < kHeld; ++at) {
        const int ${ e } = lane + at * ${ lanes };
        held[at] = ${ e } < n ? ${ step.key } : kAbsent;
//% if is_mass
        mass[at] = ${ direction }_mass(held[at]);
//% endif
    }
//% if step.measure == "number"
    int elements = 0;
    UNROLL for (int at = 0; at < kHeld; ++at) {
        elements += held[at] != kAbsent;
    }
    for (int ${ e } = lane + kHeld * ${ lanes }; ${ e } < n; ${ e } += ${ lanes }) {
        elements += ${ step.key } != kAbsent;
    }
    elements = ${ sum }(elements);
//% endif
    const ${ step.bound_type } bound = ${ step.bound };
    u64 cut = 0;
    for (int bit = 63; bit >= 0; bit = next_bit(bit, n)) {
        const u64 next = cut | 1ull << bit;
//% if step.measure in ["mass_before", "rank"]
        const u64 end = next - 1;    // an element does not count itself
//% else
        const u64 end = next;
//% endif
        ${ "float" if is_mass else "int" } measure = 0;
        UNROLL for (int at = 0; at < kHeld; ++at) {
            if (at * ${ lanes } < n) {
//% if is_mass
                measure += held[at] < end ? mass[at] : 0.0f;
//% else
                measure += held[at] < end;
//% endif
            }
        }
        for (int ${ e } = lane + kHeld * ${ lanes }; ${ e } < n; ${ e } += ${ lanes }) {
            const u64 key = ${ step.key };
//% if is_mass
            measure += key < end ? ${ direction }_mass(key) : 0.0f;
//% else
            measure += key < end;
//% endif
        }
        measure = ${ sum }(measure);
        cut = ${ step.test } ? next : cut;
    }
    if (lane == 0) {
        p.cut_${ step.cut }[${ step.at }] = cut;
    }
}
