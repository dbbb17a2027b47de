//% set direction = "descending" if step.descending else "ascending"
//% set is_mass = step.measure in ["mass", "mass_before"]
//% set counts_itself = step.measure in ["mass", "number"]
//% set type = "float" if is_mass else "int"
//% set mass = "__float_as_uint(" ~ direction ~ "_mass(key))" if is_mass else "1"
//% set e = step.element
${ step.title }

// ${ step.words }
// over ${ step.line }, by a warp.
// What is compared grows along the line, so the cut is the key of the first element that fails, or
// follows that of the last one. Its upper word is found first, then the lower one. What is left is
// shared out among the lanes, and each sums what lies below the end of its share.
DEVICE void ${ step.function }(${ step.parameters }) {
    const int lane = threadIdx.x % 32;
    const int n = ${ step.elements };
    uint2* line = line_of_warp();
//% if step.measure == "number"
    int elements = 0;
    for (int ${ e } = lane; ${ e } < n; ${ e } += 32) {
        elements += ${ step.key } != kAbsent;
    }
    elements = warp_count(elements);
//% endif
    const ${ step.bound_type } bound = ${ step.bound };
    ${ type } before = 0;    // what stands before all that is left
    u64 cut = 0;
    for (int half = 0; half < 2; ++half) {
        WordSpan left = {0, ~0u - half};    // ~0 is no lower word of a key
        WordSpan found = {~0u, 0};
        for (int ${ e } = lane; ${ e } < n; ${ e } += 32) {
            const u64 key = ${ step.key };
            const u32 word = word_of_key(key, half, cut);
            widen(found, word, left);
            if (${ e } < kLineKeys) {
                line[${ e }] = uint2{word, ${ mass }};
            }
        }
        __syncwarp();
        int kept = min(n, kLineKeys);
        found = warp_span(found);
        while (found.least < found.most) {
            const u32 end = end_of_share(found, lane);
            ${ type } measure = before + ${ "mass_below" if is_mass else "count_below" }(line, kept, end);
            for (int ${ e } = kLineKeys; ${ e } < n; ++${ e }) {
                const u64 key = ${ step.key };
                const u32 word = word_of_key(key, half, cut);
                measure += left.least <= word && word < end ? ${ direction ~ "_mass(key) : 0.0f" if is_mass else "1 : 0" };
            }
            const int passing = __popc(__ballot_sync(0xffffffffu, ${ step.test }));
            if (passing > 0) {
                before = __shfl_sync(0xffffffffu, measure, passing - 1);
            }
            left = span_of_share(found, end, passing);
            found = WordSpan{~0u, 0};
            kept = keep_words(line, kept, left, found);
            for (int ${ e } = kLineKeys + lane; ${ e } < n; ${ e } += 32) {
                const u64 key = ${ step.key };
                widen(found, word_of_key(key, half, cut), left);
            }
            found = warp_span(found);
        }
        cut |= (u64)found.least << 32 >> 32 * half;
        __syncwarp();
    }
//% if counts_itself
    const ${ type } measure = before + ${ direction ~ "_mass(cut)" if is_mass else "1" };
//% else
    const ${ type } measure = before;    // an element does not count itself
//% endif
    if (lane == 0) {
        ${ step.target } = cut + (cut != kAbsent && ${ step.test });
    }
}
