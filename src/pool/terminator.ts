/**
 * Ends tasks on request, with a signal, and with them the processes they run in.
 *
 * Owns the way from the wish to the signal. That a child is hit only while it runs the task is pool/kill-for-job.ts. A signal that task code
 * handles does not end a child at once, though, and then what was sent ahead could begin beside the cleaning up: so the child is given nothing more, and
 * what it was sent and has not begun is asked back first. One that does not answer is blocked, and no handler would run there: it is killed. One
 * that goes on after its signal is killed, too.
 *
 *   asked ──holds nothing to begin──► striking ──certain that it is hit──► signalled ──10 s──► killed
 *     └──no answer──► killed
 *   any ──the task ends by itself──► let go: the child finishes what it has begun, and is replaced
 */
import type { Logger } from '../log/logger.ts';
import type { NamedSignal } from '../os/signal-name.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { ChildHandle } from './child-handle.ts';
import type { Job } from './job.ts';
import { killForJob } from './kill-for-job.ts';

/** A child that is not blocked hands back in a millisecond what it has not begun. */
const answerMs = 250;
/** How long a task may take to clean up after a signal that it handles. */
const cleanUpMs = 10_000;

export interface TerminatorParams {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly kill?: typeof killForJob;
}

interface Ending {
  readonly child: ChildHandle;
  /** For whom it is ended. */
  readonly jobs: Set<Job>;
  signal: NamedSignal;
  /** What comes before it has gone out waits for it: a child that dies of it would have died of nothing we know. */
  state: 'asked' | 'striking' | 'signalled';
  /** Asked for meanwhile. */
  readonly further: NamedSignal[];
  timer: Timer | undefined;
}

export class Terminator {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #kill: typeof killForJob;
  readonly #endings = new Map<ChildHandle, Ending>();

  constructor({ log, clock = systemClock, kill = killForJob }: TerminatorParams) {
    this.#log = log;
    this.#clock = clock;
    this.#kill = kill;
  }

  /** Nothing happens to a job that has not begun or has ended. */
  terminate(job: Job, signal: NamedSignal): void {
    const { child } = job;
    if (child === null || !job.started || child.state === 'gone') return;
    const known = this.#endings.get(child);
    const ending: Ending = known ?? { child, jobs: new Set(), signal, state: 'asked', further: [], timer: undefined };
    ending.jobs.add(job);
    // From then on it holds nothing that could begin, so whatever else it is told hits no other.
    if (ending.state === 'signalled') child.kill(signal.number);
    else if (ending.state === 'striking') ending.further.push(signal);
    else ending.signal = signal;
    if (known !== undefined) return;
    this.#endings.set(child, ending);
    child.retire();
    if (mayBegin(child)) {
      child.recall();
      // This process may have stood still, and the answer be there: it is heard first.
      ending.timer = this.#clock.setTimer(() => setImmediate(() => void this.#strike(ending)), answerMs);
    } else void this.#strike(ending);
  }

  /** It has handed back what it had not begun. */
  recalled(child: ChildHandle): void {
    const ending = this.#endings.get(child);
    if (ending?.state !== 'asked') return;
    if (isOver(ending)) this.#letGo(ending);
    else if (!mayBegin(child)) void this.#strike(ending);
  }

  /** A job has ended by itself. */
  ended(child: ChildHandle): void {
    const ending = this.#endings.get(child);
    if (ending !== undefined && isOver(ending)) this.#letGo(ending);
  }

  gone(child: ChildHandle): void {
    this.#clock.clearTimer(this.#endings.get(child)?.timer);
    this.#endings.delete(child);
  }

  async #strike(ending: Ending): Promise<void> {
    const { child } = ending;
    if (ending.state !== 'asked') return;
    ending.state = 'striking';
    this.#clock.clearTimer(ending.timer);
    const blocked = mayBegin(child);
    let isHit = false;
    // Also those that come meanwhile.
    for (const job of ending.jobs) {
      if (isHit || !child.jobs.has(job.id)) continue;
      isHit = await this.#kill({
        job,
        outcome: { kind: 'terminated', signal: ending.signal.name },
        signal: blocked ? 'SIGKILL' : ending.signal.number,
        onCertain: () => this.#say(ending, blocked),
      });
    }
    if (!isHit || blocked || this.#endings.get(child) !== ending) return;
    ending.state = 'signalled';
    for (const { number } of ending.further) child.kill(number);
    ending.timer = this.#clock.setTimer(() => child.kill('SIGKILL'), cleanUpMs, { ref: false });
  }

  /** The tasks are over without our doing. What else it has it may finish. */
  #letGo(ending: Ending): void {
    ending.child.stop();
    // What is signalled may still die of that, and ends at the latest with its clean-up time.
    if (ending.state === 'asked') this.gone(ending.child);
  }

  #say({ child, jobs, signal }: Ending, blocked: boolean): void {
    const labels = (wanted: boolean): string =>
      [...child.jobs.values()]
        .filter((job) => job.started && jobs.has(job) === wanted)
        .map(({ label }) => label)
        .join(', ');
    const how = blocked ? 'SIGKILL, because its JavaScript is blocked' : signal.name;
    const others = labels(false) === '' ? '' : `; with it end, because they run there too: ${labels(false)}`;
    this.#log.info('child.terminated', `PoolChild-${child.index} (pid ${child.pid}) is ended for ${labels(true)} (${how})${others}`, {
      child: child.index,
      pid: child.pid,
    });
  }
}

/** Has it anything that it has not begun? */
function mayBegin(child: ChildHandle): boolean {
  for (const job of child.jobs.values()) if (!job.started) return true;
  return false;
}

function isOver({ child, jobs }: Ending): boolean {
  for (const job of jobs) if (child.jobs.has(job.id)) return false;
  return true;
}
