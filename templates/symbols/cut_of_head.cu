//% set direction = "descending" if step.descending else "ascending"
//% set is_mass = step.measure in ["mass", "mass_before"]
//% set counts_itself = step.measure in ["mass", "number"]
//% set type = "float" if is_mass else "int"
//% set e = step.element
//% set first = "int " ~ e ~ " = lane + kHeldKeys * " ~ step.lanes
//% set rest = "for (" ~ first ~ "; " ~ e ~ " < n; " ~ e ~ " += " ~ step.lanes ~ ") {"
${ step.title }

// ${ step.words }
// over ${ step.line }, by a CTA.
// What is compared grows along the line, so the cut is the key of the first element that fails, or
// follows that of the last one. Its upper word is found first, then the lower one: of what is left
// the middle is tried, until one word is left. Sums are taken in one order.
DEVICE void ${ step.function }(${ step.parameters }) {
    const int lane = threadIdx.x;
    const int n = ${ step.elements };
    u64 keys[kHeldKeys];
//% if is_mass
    float mass[kHeldKeys];
//% endif
    UNROLL for (int at = 0; at < kHeldKeys; ++at) {
        const int ${ e } = lane + at * ${ step.lanes };
        keys[at] = ${ e } < n ? ${ step.key } : kAbsent;
//% if is_mass
        mass[at] = ${ direction }_mass(keys[at]);
//% endif
    }
//% if step.measure == "number"
    int elements = 0;
    for (int ${ e } = lane; ${ e } < n; ${ e } += ${ step.lanes }) {
        elements += ${ step.key } != kAbsent;
    }
    elements = cta_count(elements);
//% endif
    const ${ step.bound_type } bound = ${ step.bound };
    ${ type } before = 0;    // what stands before the cut as far as it is known
    u64 cut = 0;
    for (int half = 0; half < 2; ++half) {
        u32 words[kHeldKeys];
        UNROLL for (int at = 0; at < kHeldKeys; ++at) {
            words[at] = word_of_key(keys[at], half, cut);
        }
        const ${ type } others = before;    // what has a smaller upper word
        WordSpan left = {0, ~0u - half};    // ~0 is no lower word of a key
        for (;;) {
            WordSpan found = span_of_held(words, left);
            ${ rest }
                const u64 key = ${ step.key };
                widen(found, word_of_key(key, half, cut), left);
            }
            found = cta_span(found);
            if (found.least >= found.most) {
                cut |= (u64)found.least << 32 >> 32 * half;
                break;
            }
            const u32 middle = found.least + (found.most - found.least) / 2 + 1;
            ${ type } sum = ${ "held_mass_below(mass, " if is_mass else "held_count_below(" }words, middle);
            ${ rest }
                const u64 key = ${ step.key };
                sum += word_of_key(key, half, cut) < middle ? ${ direction ~ "_mass(key) : 0.0f" if is_mass else "1 : 0" };
            }
            const ${ type } measure = others + cta_${ "sum" if is_mass else "count" }(sum);
            if (${ step.test }) {
                left.least = middle;
                before = measure;
            } else {
                left.most = middle - 1;
            }
        }
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
