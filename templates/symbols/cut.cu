//% set wide = step.threads > 32
//% set direction = "descending" if step.descending else "ascending"
//% set is_mass = step.measure in ["mass", "mass_before"]
//% set sum = ("cta" if wide else "warp") ~ ("_sum" if is_mass else "_count")
// Cut ${ step.cut }: ${ step.words }
// over ${ step.lines }.
// The cut is the least key for which it does not hold, found bit by bit: what is compared grows
// with the key, and sums are taken in one order.
// Launch: a ${ "CTA" if wide else "warp" } for each line${ "" if wide else ", four in a CTA" }.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    constexpr int kHeld = ${ step.held };    // keys in shared memory; others are made again
//% if wide
    __shared__ u64 held[kHeld];
    const int lane = threadIdx.x;
//% else
    __shared__ u64 held_of[${ step.threads // 32 }][kHeld];
    u64* held = held_of[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    const int i = blockIdx.x * ${ step.threads // 32 } + threadIdx.x / 32;
    if (i >= p.q_blocks) {
        return;
    }
//% endif
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int n = ${ step.elements };
//% set e = step.element
//% if step.measure == "number"
    int elements = 0;
//% endif
    for (int ${ e } = lane; ${ e } < n; ${ e } += ${ lanes }) {
        const u64 key = ${ step.key };
        if (${ e } < kHeld) {
            held[${ e }] = key;
        }
//% if step.measure == "number"
        elements += key != kAbsent;
//% endif
    }
    ${ "__syncthreads" if wide else "__syncwarp" }();
//% if step.measure == "number"
    elements = ${ sum }(elements);
//% endif
    const ${ step.bound_type } bound = ${ step.bound };
    u64 cut = 0;
    for (int bit = 63; bit >= 0; bit = next_bit(bit, n)) {
        const u64 next = cut | 1ull << bit;
        ${ "float" if is_mass else "int" } measure = 0;
        for (int ${ e } = lane; ${ e } < n; ${ e } += ${ lanes }) {
            const u64 key = ${ e } < kHeld ? held[${ e }] : ${ step.key };
//% if is_mass
            measure += key < next${ " - 1" if step.measure == "mass_before" } ? ${ direction }_mass(key) : 0.0f;
//% else
            measure += key < next${ " - 1" if step.measure == "rank" };
//% endif
        }
        measure = ${ sum }(measure);
        cut = ${ step.test } ? next : cut;
    }
    if (lane == 0) {
        p.cut_${ step.cut }[${ step.at }] = cut;
    }
}
