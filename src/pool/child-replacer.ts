/**
 * When a child takes the place of one that has ended: at once, later, or never.
 *
 * Owns the failures that are counted, the back-off, and the places that wait for their next child. It never starts a child: it tells the pool to.
 */
import { UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import { systemClock, type Timer } from '../std/clock.ts';
import type { ChildHandle } from './child-handle.ts';
import type { ChildExit } from './job.ts';

/** A child that dies within this time of getting ready, with no task ended, died of its modules, or of the task it had begun. */
const soonAfterReadyMs = 1000;
/** So many such deaths in a row are made good at once when tasks had begun: each has cost a task, of which there may be several that end their child. */
const atOnceAfterTasks = 4;
const firstDelayMs = 200;
const lastDelayMs = 10_000;

export interface ChildReplacerParams {
  readonly log: Logger;
  readonly startTimeoutMs: number;
  /** Children that may die while starting, in a row and with none ready, before the pool gives up. */
  readonly maxStartFailures: number;
  /** A child that is lost can have a successor at all. */
  readonly replaceable: boolean;
  /** Also those that stand by or leave. */
  children(): readonly ChildHandle[];
  /** No child has ever been ready. */
  isFirst(): boolean;
  /** There is a child with this index, a spare or the successor. */
  hasNext(index: number): boolean;
  /** A spare is wanted for this index. */
  wantsNext(index: number): boolean;
  spawn(index: number): void;
  /** No child can start. */
  giveUp(cause: UmbelError): void;
}

export class ChildReplacer {
  readonly #params: ChildReplacerParams;
  readonly #log: Logger;
  /** Places without a child, by index. */
  readonly #pending = new Map<number, Timer>();
  readonly #startTimedOut = new Set<ChildHandle>();
  /** Children that died while starting since one last got ready. */
  #startFailures = 0;
  /** Children that died just after they got ready, since a task last ended by itself. */
  #earlyDeaths = 0;

  constructor(params: ChildReplacerParams) {
    this.#params = params;
    this.#log = params.log;
  }

  isPending(index: number): boolean {
    return this.#pending.has(index);
  }

  forget(index: number): void {
    systemClock.clearTimer(this.#pending.get(index));
    this.#pending.delete(index);
  }

  /** Places that are no more. */
  forgetAbove(index: number): void {
    for (const pending of this.#pending.keys()) if (pending > index) this.forget(pending);
  }

  onReady(): void {
    this.#startFailures = 0;
  }

  onJobDone(): void {
    this.#earlyDeaths = 0;
  }

  /** A child that does not get ready in time is killed. */
  watchStart(child: ChildHandle): void {
    const { startTimeoutMs } = this.#params;
    const killUnready = (): void => {
      if (child.state !== 'starting') return;
      this.#log.error(
        'child.start-timeout',
        `PoolChild-${child.index} (pid ${child.pid}) was not ready within ${startTimeoutMs / 1000}s; it is killed`,
      );
      this.#startTimedOut.add(child);
      child.kill('SIGKILL');
    };
    systemClock.setTimer(killUnready, startTimeoutMs, { ref: false });
  }

  /** `hadBegun`: tasks ended with it. */
  replace(child: ChildHandle, exit: ChildExit, failure: UmbelError | null, hadBegun: boolean): void {
    const how = exit.signal !== null ? `signal ${exit.signal}` : `exit code ${exit.exitCode}`;
    const timedOut = this.#startTimedOut.delete(child);
    // A spare has taken its place, or it was the spare.
    const hasNext = this.#params.hasNext(child.index);
    if (child.letGo && exit.exitCode === 0) {
      this.#log.debug('child.gone', `PoolChild-${child.index} (pid ${exit.pid}) is gone`, { child: child.index, pid: exit.pid });
      if (!hasNext) this.#params.spawn(child.index);
      return;
    }
    if (exit.killed) {
      const { label } = exit.killed.job;
      this.#log.warning('child.killed', `PoolChild-${child.index} (pid ${exit.pid}) was ended because of ${label}; it is replaced`, {
        child: child.index,
        pid: exit.pid,
      });
      if (!hasNext) this.#params.spawn(child.index);
      return;
    }
    if (child.wasReady) {
      const delayMs = hasNext ? 0 : this.#delayAfterLoss(child, hadBegun);
      const why = hadBegun
        ? `${this.#earlyDeaths} children died soon after they were ready, and no task ended meanwhile`
        : 'it had done nothing since it was ready';
      const next = delayMs === 0 ? 'it is replaced' : `${why}; it is replaced in ${delayMs} ms`;
      this.#log.error('child.lost', `PoolChild-${child.index} (pid ${exit.pid}) exited with ${how}; ${next}`, {
        child: child.index,
        pid: exit.pid,
      });
      if (delayMs > 0) this.#respawnLater(child.index, delayMs);
      else if (!hasNext || this.#params.wantsNext(child.index)) this.#params.spawn(child.index);
      return;
    }
    const cause =
      failure ??
      new UmbelError(
        'CHILD_CANNOT_START',
        `PoolChild-${child.index} ${timedOut ? `was not ready within ${this.#params.startTimeoutMs / 1000}s` : `ended with ${how} while starting`}`,
      );
    this.startFailed(child.index, cause, failure !== null);
  }

  /** `ownWords`: the child itself has said what is wrong. */
  startFailed(index: number, cause: UmbelError, ownWords: boolean): void {
    this.#startFailures += 1;
    // One that is still loading its modules may yet get ready.
    const noneLeft = !this.#params.children().some((other) => canWork(other) || (other.state === 'starting' && !ownWords));
    // A module that does not load will not load in the next child either.
    const hopeless = this.#params.isFirst() && (ownWords || !this.#params.replaceable);
    if (noneLeft && (hopeless || this.#startFailures >= this.#params.maxStartFailures)) {
      this.#params.giveUp(cause);
      return;
    }
    const delayMs = Math.round(backoffDelayMs({ attempt: this.#startFailures - 1, baseMs: firstDelayMs, maxMs: lastDelayMs }));
    const next = this.#hangsOnOthers() ? 'next try when the others have started, or none' : `next try in ${delayMs} ms`;
    this.#log.error('child.start-failed', `PoolChild-${index} could not start: ${cause.message}; ${next}`, { child: index });
    this.#respawnLater(index, delayMs);
  }

  #respawnLater(index: number, delayMs: number): void {
    const respawn = (): void => (this.#hangsOnOthers() ? this.#respawnLater(index, delayMs) : this.#params.spawn(index));
    this.#pending.set(index, systemClock.setTimer(respawn, delayMs));
  }

  /** As many have failed as may: what those come to that are still starting decides. More of them would put that off for ever. */
  #hangsOnOthers(): boolean {
    const children = this.#params.children();
    const isStarting = children.some(({ state }) => state === 'starting');
    return this.#startFailures >= this.#params.maxStartFailures && isStarting && !children.some(canWork);
  }

  /**
   * Children that die as soon as they are ready (a module that throws a moment after it has loaded) must not be replaced in a loop. Where tasks wait
   * such a child has begun one, so that is no proof of the contrary: it only makes for more patience.
   */
  #delayAfterLoss(child: ChildHandle, hadBegun: boolean): number {
    if (child.processed > 0 || performance.now() - child.readyAtMs > soonAfterReadyMs) return 0;
    this.#earlyDeaths += 1;
    const delayed = this.#earlyDeaths - (hadBegun ? atOnceAfterTasks : 1);
    return delayed <= 0 ? 0 : Math.round(backoffDelayMs({ attempt: delayed - 1, baseMs: firstDelayMs, maxMs: lastDelayMs }));
  }
}

/** One that may have no more jobs is of no help when no other can start, unless it still has some. */
function canWork(child: ChildHandle): boolean {
  return child.state === 'ready' && (!child.tenure.used || child.jobs.size > 0);
}
