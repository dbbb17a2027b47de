//% set wide = step.lanes > 32
//% set across = "cta" if wide else "warp"
${ step.title }

// Softmax over ${ step.line }, by a ${ "CTA" if wide else "warp" }: m = max x, ${ "w " if step.weight }e^(x - m) / Σ ${ "w " if step.weight }e^(x - m).
DEVICE void ${ step.function }(${ step.parameters }) {
//% set v = step.variable
//% set lane = "threadIdx.x" if wide else "threadIdx.x % 32"
//% set ends = v ~ " < " ~ step.count ~ "; " ~ v ~ " += " ~ step.lanes
//% set each = "for (int " ~ v ~ " = " ~ lane ~ "; " ~ ends ~ ") {"
//% set logit = step.target if step.leaves_logits else step.logit
//% set term = (step.weight ~ " * " if step.weight else "") ~ "expf(" ~ logit ~ " - most)"
    float most = negative_infinity();
    bool found_nan = false;
    ${ each }
//% if step.takes
        if (!${ step.takes }) {
            continue;
        }
//% endif
        const float x = ${ step.logit };
//% if step.leaves_logits
        ${ step.target } = x;
//% endif
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
