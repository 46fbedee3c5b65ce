/**
 * Collects orphaned zombies when the worker is PID 1, as the first process of a container is.
 *
 * Grandchildren whose parent has ended become children of PID 1, and stay in the process table until it collects them. Node
 * collects its own children the moment they end; taking one of those away would cost its exit status. So only a zombie that
 * is nobody's known child and was there at the previous look, a second or more ago, is collected.
 */

import { readdirSync } from 'node:fs';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { reapChild } from './libc.ts';
import { processStat } from './process-info.ts';

const lookEveryMs = 5000;
/** After a child's end there may be more; two looks this far apart settle it. */
const lookAgainMs = 1000;

export interface ReaperParams {
  readonly log: Logger;
  /** Pids of children this process started and still wants to hear of. */
  readonly isOwnChild: (pid: number) => boolean;
  /** Default: only PID 1 has work to do. */
  readonly enabled?: boolean;
  readonly clock?: Clock;
  /** Default: the zombies among this process's children. */
  readonly listZombies?: () => readonly ZombieChild[];
  readonly reap?: (pid: number) => boolean;
}

export interface ZombieChild {
  readonly pid: number;
  readonly startTicks: number;
}

/** Has the shape of a Component. */
export class Reaper {
  readonly name = 'reaper';
  readonly #params: ReaperParams;
  readonly #clock: Clock;
  readonly #enabled: boolean;
  #timer: Timer | undefined;
  /** pid → start time of the zombies seen at the last look. Written by look only. */
  #seen = new Map<number, number>();

  constructor(params: ReaperParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#enabled = params.enabled ?? process.pid === 1;
  }

  async start(): Promise<void> {
    if (this.#enabled && this.#timer === undefined) this.#schedule(lookEveryMs);
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#clock.setTimer(() => this.#look(), delayMs, { ref: false });
  }

  #look(): void {
    const seen = new Map<number, number>();
    for (const { pid, startTicks } of (this.#params.listZombies ?? listZombieChildren)()) {
      if (this.#params.isOwnChild(pid)) continue;
      if (this.#seen.get(pid) === startTicks && (this.#params.reap ?? reapChild)(pid)) {
        this.#params.log.debug('reaper.reaped', `Collected orphaned process ${pid}`, { pid });
      } else {
        seen.set(pid, startTicks);
      }
    }
    const fresh = [...seen.keys()].some((pid) => !this.#seen.has(pid));
    this.#seen = seen;
    this.#schedule(fresh ? lookAgainMs : lookEveryMs);
  }
}

/** The ended children of this process that nobody has collected. */
export function listZombieChildren(): ZombieChild[] {
  const zombies: ZombieChild[] = [];
  for (const entry of listProc()) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const stat = processStat(pid);
    if (stat?.state === 'Z' && stat.parentPid === process.pid) zombies.push({ pid, startTicks: stat.startTicks });
  }
  return zombies;
}

function listProc(): string[] {
  try {
    return readdirSync('/proc');
  } catch {
    return [];
  }
}
