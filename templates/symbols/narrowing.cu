// ---- ${ step.title } ${ "-" * (90 - (step.title | length)) }

// Launch: ${ step.launch }
extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    const int b = blockIdx.z;
//% if step.rows or step.head
    const int h = blockIdx.y;
//% endif
//% if step.lets_next_start
    let_next_launch_start();
//% endif
//% if step.waits
    wait_for_launch_before();
//% endif
//% if step.rows

    // Rows, a warp each.
    const int first_i = blockIdx.x * kCtaRows;
//% if step.by_warp
    const int i = first_i + threadIdx.x / 32;
//% endif
//% for group in step.rows
//% if not loop.first
    __syncthreads();
//% endif
//% if group.by_warp
    if (i < p.q_blocks) {
//% for call in group.calls
//% if not loop.first
        __syncwarp();
//% endif
//% if call.of_first_head
        if (h == 0) {
            ${ call.text };
        }
//% else
        ${ call.text };
//% endif
//% endfor
    }
//% else
//% for call in group.calls
    ${ call.text };
//% endfor
//% endif
//% endfor
//% endif
//% if step.head
//% if step.rows

    // The head, by the CTA that is the last of its rows.
    if (!arrives_last(p.arrivals + head_at(p, b, h), gridDim.x)) {
        return;
    }
//% endif
//% for group in step.head
//% if not loop.first
    __syncthreads();
//% endif
//% for call in group.calls
//% if group.by_warp
    if (threadIdx.x / 32 == ${ loop.index0 }) {
        ${ call.text };
    }
//% else
    ${ call.text };
//% endif
//% endfor
//% endfor
//% endif
//% if step.item
//% if step.rows or step.head

    // The item, by the CTA that is the last of its heads.
    if (!arrives_last(p.arrivals + p.heads * gridDim.z + b, ${ "gridDim.y" if step.head else "gridDim.x * gridDim.y" })) {
        return;
    }
//% endif
    ${ step.item };
//% endif
}
