//% set wide = step.threads > 32
//% set across = "cta" if wide else "warp"
${ step.title }

// Softmax over ${ step.line }: m = max x, ${ "w " if step.weight }e^(x - m) / Σ ${ "w " if step.weight }e^(x - m).
// Launch: a ${ "CTA" if wide else "warp" } for each line. Lines are few, so a CTA may take what registers it likes.
extern "C" __global__ void __launch_bounds__(${ step.threads }, 1)
${ step.entry }(const __grid_constant__ Params p) {
//% set v = step.variable
//% set place_exists = v ~ " < " ~ step.count
//% set next = v ~ " += " ~ step.threads
//% set each = "for (int " ~ v ~ " = threadIdx.x; " ~ place_exists ~ "; " ~ next ~ ") {"
//% set term = (step.weight ~ " * " if step.weight else "") ~ "expf(" ~ step.logit ~ " - most)"
//% for local in step.locals
    ${ local }
//% endfor
    float most = negative_infinity();
    bool found_nan = false;
    ${ each }
//% if step.takes
        if (!${ step.takes }) {
            continue;
        }
//% endif
        const float x = ${ step.logit };
        most = fmaxf(most, x);
        found_nan |= x != x;
    }
    most = ${ across }_max(most);
    // Without a finite logit there is no mass: all of the line is 0.
//% if wide
    const bool empty = most == negative_infinity() && !__syncthreads_or(found_nan);
//% else
    const bool empty = most == negative_infinity() && !__any_sync(0xffffffffu, found_nan);
//% endif
    float sum = 0.0f;
    ${ each }
//% if step.takes
        if (!${ step.takes }) {
            continue;
        }
//% endif
        sum += ${ term };
    }
    sum = ${ across }_sum(sum);
    ${ each }
        const bool has_term = !empty${ " && " ~ step.takes if step.takes }${ " && " ~ step.kept if step.kept };
        ${ step.target } =
            has_term ? ${ term } / sum : 0.0f;
    }
}
