${ step.title }

//% if step.variable
// Launch: a CTA for each line of places of a head; a thread for each place.
//% else
// Launch: a CTA for each head, of which one thread works.
//% endif
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
//% for local in step.locals
    ${ local }
//% endfor
//% if step.variable
    for (int ${ step.variable } = threadIdx.x; ${ step.variable } < ${ step.count }; ${ step.variable } += ${ step.threads }) {
        ${ step.target } = ${ step.value };
    }
//% else
    if (threadIdx.x == 0) {
        ${ step.target } = ${ step.value };
    }
//% endif
}
