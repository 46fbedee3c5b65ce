/**
 * When V8 compiles: a process that runs the same few functions for each task does well to have them compiled after a hundred tasks, and not after
 * thousands, by the quick compiler (Maglev). The thorough one (Turbofan) takes 2 to 4 ms a function on a thread of V8's, which keep the process
 * itself waiting where both share a processor; it comes when a function has proved to be used a lot. Loops are compiled as ever, by their turns.
 * docs/decisions.md has the figures.
 */
import { setFlagsFromString } from 'node:v8';

/** V8's own values are 400, 3000 and 500. Far less for the first costs more than it brings: what is compiled before it has seen enough is compiled again. */
const flags = ['--invocation-count-for-maglev=100', '--invocation-count-for-turbofan=20000', '--minimum-invocations-after-ic-update=200'];

/** For this process, its threads included, from now on. */
export function compileForTasks(): void {
  for (const flag of flags) setFlagsFromString(flag);
}
