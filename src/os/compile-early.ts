/**
 * When V8 compiles: a process that runs the same few functions for each task does well to compile them after hundreds of tasks, and not after thousands.
 * A worker with little to do would stay in slow code for long otherwise; docs/decisions.md has the figures.
 */
import { setFlagsFromString } from 'node:v8';

/** V8's own values are 400, 3000 and 500. Far earlier costs more than it brings: what is compiled before it has seen enough is compiled again. */
const flags = ['--invocation-count-for-maglev=100', '--invocation-count-for-turbofan=1000', '--minimum-invocations-after-ic-update=200'];

/** For this process, its threads included, from now on. */
export function compileEarly(): void {
  for (const flag of flags) setFlagsFromString(flag);
}
