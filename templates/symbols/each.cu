${ step.title }

//% if step.lanes == 1
// One value, by one thread.
//% else
// A value for each ${ step.place }, by ${ "the threads of a CTA" if step.lanes > 32 else "the lanes of a warp" }.
//% endif
DEVICE void ${ step.function }(${ step.parameters }) {
//% if step.lanes == 1
    if (${ step.first } == 0) {
        ${ step.target } = ${ step.value };
    }
//% else
    for (int ${ step.variable } = ${ step.first }; ${ step.variable } < ${ step.count }; ${ step.variable } += ${ step.lanes }) {
        ${ step.target } = ${ step.value };
    }
//% endif
}
