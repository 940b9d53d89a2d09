/** All mistakes that are planted, one at a time. They show that what looks for mistakes can find some: a test that passes with its rule broken checks nothing. */
import type { PlantedBug } from './bug.ts';
import { KIT_BUGS } from './kit-bugs.ts';
import { SIM_BUGS } from './sim-bugs.ts';
import { TEST_BUGS } from './test-bugs.ts';

export const PLANTED_BUGS: readonly PlantedBug[] = [...KIT_BUGS, ...SIM_BUGS, ...TEST_BUGS];
