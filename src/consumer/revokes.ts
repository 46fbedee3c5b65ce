/**
 * Revoking and terminating tasks: what remote control asks of a worker, and what its neighbours tell it at its start.
 *
 * Owns what a revoke does to what this worker holds: a task that has not begun is taken out of wherever it waits and discarded at once,
 * one that runs goes on unless it is to be terminated (pool/terminator.ts). What comes later, or comes back when it is due, is consumer/strategy.ts's to refuse; how a revoked task is settled is
 * consumer/settle.ts's.
 *
 * Source: protocol notes, control.md §5 and worker-behaviour.md §7.
 */
import { UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type NamedSignal, namedSignal } from '../os/signal-name.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import { mustSupport } from '../pool/pool-features.ts';
import { readRevokedMap } from '../protocol/revoked-map.ts';
import type { StateDb } from '../statedb/state-db.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { repr } from '../std/safe-repr.ts';
import type { Consumer } from './consumer.ts';
import type { Request } from './request.ts';
import { stampsOf, valuesOf } from './revoked-tasks.ts';

export interface RevokesParams {
  readonly state: Pick<StateDb, 'revoke' | 'revokeStamps' | 'revoked' | 'merge' | 'flush' | 'maxAgeMs'>;
  readonly consumer: Pick<Consumer, 'held' | 'withdraw'>;
  readonly pool: Pick<Pool, 'name' | 'features' | 'terminate'>;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface RevokeOptions {
  /** End it when it runs. Default: false. */
  readonly terminate?: boolean;
  /** Name or number. Default: SIGTERM. */
  readonly signal?: string | number;
}

export class Revokes {
  readonly #params: RevokesParams;
  readonly #clock: Clock;

  constructor(params: RevokesParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  /**
   * Returns the ids of those that were here to be terminated. Throws REVOKE_INVALID, and then nothing is revoked; or NOT_SUPPORTED, and then all are, but
   * one that runs goes on, because this pool cannot end it.
   */
  revoke(taskIds: readonly string[], options: RevokeOptions = {}): string[] {
    const signal = signalOf(options);
    const { state, log } = this.#params;
    state.revoke(taskIds);
    state.flush();
    const ids = new Set(taskIds);
    const hit = this.#carryOut(({ header }) => ids.has(header.id), signal);
    if (signal === null) log.info('task.flagged', `Tasks flagged as revoked: ${escapeControls(taskIds.join(', '))}`);
    return hit;
  }

  /** `stamps`: name → value, or list of values. Otherwise as `revoke`. */
  revokeByStampedHeaders(stamps: Readonly<Record<string, unknown>>, options: RevokeOptions = {}): string[] {
    const signal = signalOf(options);
    const revoked = Object.entries(stamps).flatMap(([name, value]) => valuesOf(name, value));
    if (revoked.length === 0) {
      throw new UmbelError('REVOKE_INVALID', `a revoke by stamped headers must name a header and its value, got ${repr(stamps, 200)}`);
    }
    const { state, log } = this.#params;
    state.revokeStamps(revoked);
    state.flush();
    const wanted = new Set(revoked.map((stamp) => JSON.stringify(stamp)));
    const hit = this.#carryOut(({ header }) => stampsOf(header).some((stamp) => wanted.has(JSON.stringify(stamp))), signal);
    log.info('task.flagged', `Tasks with one of these stamps flagged as revoked: ${repr(stamps)}`);
    return hit;
  }

  /** Revoked ids, for people. */
  ids(): string[] {
    return [...this.#params.state.revoked()].map(([id]) => id);
  }

  /** What a neighbour is told: ids and when they were revoked, in seconds of our monotonic clock. */
  times(): ReadonlyMap<string, number> {
    const nowMs = this.#clock.monotonic();
    return new Map([...this.#params.state.revoked()].map(([id, ageMs]) => [id, (nowMs - ageMs) / 1000]));
  }

  /**
   * What a neighbour has told: the `revoked` of its hello. Its times are those of its own monotonic clock, which is ours only on the same machine, and it tells of none that
   * is too old: one that cannot be right here counts as now. Returns how many were not known here.
   */
  learn(helloRevoked: unknown): number {
    const { state } = this.#params;
    const nowMs = this.#clock.monotonic();
    const ages = readRevokedMap(helloRevoked).map(({ id, atSeconds }): [string, number] => {
      const ageMs = atSeconds === null ? 0 : nowMs - atSeconds * 1000;
      return [id, ageMs > 0 && ageMs < state.maxAgeMs ? ageMs : 0];
    });
    const added = new Set(state.merge(ages));
    if (added.size > 0) this.#carryOut(({ header }) => added.has(header.id), null);
    return added.size;
  }

  #carryOut(matches: (request: Request) => boolean, signal: NamedSignal | null): string[] {
    const { pool, consumer } = this.#params;
    const able = signal?.name === 'SIGUSR1' || pool.features.terminate;
    const hit = new Set<string>();
    let spared: Job | null = null;
    let withdrawn = false;
    for (const { request, job } of consumer.held) {
      // A request that is active and in no child has ended: its end is being recorded.
      const isOver = request.state === 'settled' || (request.state === 'active' && job.child === null);
      if (isOver || !matches(request)) continue;
      if (signal !== null) hit.add(request.header.id);
      if (request.state === 'active') {
        if (signal === null) continue;
        if (able) this.#terminate(request, job, signal);
        else spared = job;
        continue;
      }
      request.revoked = true;
      // It may begin all the same, in a child that had it already.
      if (signal !== null && able) request.onceStarted = () => this.#terminate(request, job, signal);
      job.withdrawn = true;
      withdrawn = true;
    }
    if (withdrawn) consumer.withdraw();
    if (spared !== null) mustSupport(pool, 'terminate', `terminating ${spared.label}`);
    return [...hit];
  }

  #terminate(request: Request, job: Job, signal: NamedSignal): void {
    const { id } = request.header;
    this.#params.log.info('task.terminating', `Terminating ${escapeControls(id)} (${signal.number})`, {
      taskId: id,
      taskName: request.header.task,
    });
    request.terminatedBy = signal;
    this.#params.pool.terminate(job, signal);
  }
}

function signalOf({ terminate, signal }: RevokeOptions): NamedSignal | null {
  return terminate === true ? namedSignal(signal ?? 'SIGTERM') : null;
}
