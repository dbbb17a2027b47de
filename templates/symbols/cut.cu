//% set direction = "descending" if step.descending else "ascending"
//% set is_mass = step.measure in ["mass", "mass_before"]
//% set counts_itself = step.measure in ["mass", "number"]
//% set type = "float" if is_mass else "int"
//% set cast = "" if is_mass else "(int)"
//% set weight_of = direction ~ "_mass" if is_mass else "weight_of_one"
//% set e = step.element
//% set each = "for (int " ~ e ~ " = lane; " ~ e ~ " < n; " ~ e ~ " += 32) {"
${ step.title }

// ${ step.words }
// over ${ step.line }, by a warp.
// What is compared grows along the line, so the cut is the key of the first element that fails, or
// follows that of the last one. What is left is cut into shares, and of these the first is left
// whose sum with all before it fails, until one key is left.
DEVICE void ${ step.function }(${ step.parameters }) {
    const int lane = threadIdx.x % 32;
    const int n = ${ step.elements };
//% if step.measure == "number"
    int elements = 0;
    ${ each }
        elements += ${ step.key } != kAbsent;
    }
    elements = warp_count(elements);
//% endif
    const ${ step.bound_type } bound = ${ step.bound };
    float (&sums)[kShares][32] = share_sums();
    ${ type } before = 0;    // what stands before all that is left
    KeySpan left = {0, kAbsent - 1};
    for (;;) {
        KeySpan found = {kAbsent, 0};
        ${ each }
            const u64 key = ${ step.key };
            if (holds_key(left, key)) {
                add_key(found, key);
            }
        }
        left = warp_key_span(found);
        if (left.least >= left.most) {
            break;
        }
        UNROLL for (int share = 0; share < kShares; ++share) {
            sums[share][lane] = 0.0f;
        }
        ${ each }
            const u64 key = ${ step.key };
            if (holds_key(left, key)) {
                sums[(key - left.least) >> share_shift(left)][lane] += ${ weight_of }(key);
            }
        }
        const float added = sum_of_share(sums);
        const ${ type } measure = before + ${ cast }sum_of_shares_up_to(added);
        const int share = first_that_fails(left, !(${ step.test }), added);
        if (share > 0) {
            before = __shfl_sync(0xffffffffu, measure, share - 1);
        }
        left = span_of_share(left, share);
    }
    const u64 cut = left.least;    // kAbsent, if there is none
    const ${ type } measure = before${ " + " ~ cast ~ weight_of ~ "(cut)" if counts_itself };
    if (lane == 0) {
        ${ step.target } = cut + (cut != kAbsent && ${ step.test });
    }
}
