/**
 * Notices within milliseconds that somebody else has committed to the database, without polling it busily.
 *
 * Owns: the file watch on the write-ahead log, the timers behind it. Never reads a table: `PRAGMA data_version` tells.
 *
 * How: every commit writes to the -wal file, and the kernel tells us (inotify). The write comes shortly *before* the commit
 * becomes visible - with `synchronous = full` a disk flush before - so an event is followed by a series of cheap checks until
 * the log has been quiet for a while. Own commits cause the same events; for them the checks find nothing and cost
 * microseconds. A slow poll covers what a watch cannot see (network file systems, no inotify watches left).
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

import type { Logger } from '../log/logger.ts';

/** The checks go on this long after the last event: longer than a slow disk takes for one flush; then the slow poll takes over. */
const quietMs = 1000;
/** Longest gap between two checks of a series; with it a wake-up stays under 10 ms. */
const longestGapMs = 6;
const slowPollMs = 1000;
/** Poll interval where files cannot be watched. */
const unwatchedPollMs = 20;

export interface SqliteWatchParams {
  /** The database file; its log is beside it. */
  readonly path: string;
  readonly log: Logger;
  /** Has another connection committed since the last call? Called often; must be cheap and must not throw. */
  check(): void;
  /** Once a second. */
  tick(): void;
}

export class SqliteWatch {
  readonly #params: SqliteWatchParams;
  readonly #walName: string;
  #watcher: FSWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  /** The next check of the running series. */
  #next: NodeJS.Timeout | null = null;
  #gapMs = 1;
  #quietAtMs = 0;
  #lastTickMs = 0;

  constructor(params: SqliteWatchParams) {
    this.#params = params;
    this.#walName = `${basename(params.path)}-wal`;
  }

  start(): void {
    let pollMs = slowPollMs;
    try {
      // The folder and not the file: the log may be deleted and made anew while somebody else has the database open.
      this.#watcher = watch(dirname(this.#params.path), { persistent: false }, (_type, name) => {
        if (name === this.#walName) this.#onEvent();
      });
      this.#watcher.on('error', (error) => this.#watchFailed(error));
    } catch (error) {
      pollMs = unwatchedPollMs;
      this.#warn(error);
    }
    this.#startPoll(pollMs);
  }

  stop(): void {
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#poll !== null) clearInterval(this.#poll);
    if (this.#next !== null) clearTimeout(this.#next);
    this.#poll = null;
    this.#next = null;
  }

  #watchFailed(error: unknown): void {
    if (this.#watcher === null) return;
    this.stop();
    this.#warn(error);
    this.#startPoll(unwatchedPollMs);
  }

  #warn(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#params.log.warning(
      'sqlite.unwatched',
      `The folder of ${this.#params.path} cannot be watched (${text}); polling every ${unwatchedPollMs} ms`,
    );
  }

  #startPoll(pollMs: number): void {
    this.#poll = setInterval(() => {
      this.#params.check();
      const nowMs = performance.now();
      if (nowMs - this.#lastTickMs < slowPollMs - unwatchedPollMs) return;
      this.#lastTickMs = nowMs;
      this.#params.tick();
    }, pollMs);
    this.#poll.unref();
  }

  #onEvent(): void {
    this.#params.check();
    this.#quietAtMs = performance.now() + quietMs;
    if (this.#next !== null) {
      if (this.#gapMs === 1) return;
      clearTimeout(this.#next);
    }
    this.#gapMs = 1;
    this.#schedule();
  }

  #schedule(): void {
    this.#next = setTimeout(() => {
      this.#next = null;
      this.#params.check();
      if (performance.now() >= this.#quietAtMs) return;
      this.#gapMs = Math.min(this.#gapMs + 1, longestGapMs);
      this.#schedule();
    }, this.#gapMs);
    this.#next.unref();
  }
}
