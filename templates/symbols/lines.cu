// Launch: ${ step.words }.
//% set least = step.least_ctas or plan.ctas_per_sm
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ least if least })
${ step.entry }(const __grid_constant__ Params p) {
//% for local in step.locals
    ${ local }
//% endfor
    ${ step.call };
}
