/**
 * What a worker remembers across restarts: revoked task ids, revoked stamps and its logical clock.
 *
 * Owns the two sets, bounded in number and age, and the file they are kept in (`--statedb`), which one worker has at a time. Revokes are with the
 * kernel by the end of the turn, so that a killed worker forgets none; the clock is written with them, and at the latest a moment after it has
 * changed. Without a path everything is remembered until the process ends. Never decides what a revoke means for a task.
 *
 * Source: protocol notes, worker-behaviour.md §7 and §8 (50,000 ids, 10,800 s). The format is our own: statedb/state-record.ts.
 */
import { messageOf, UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { ExpiringSet } from '../std/expiring-set.ts';
import { StateFile } from './state-file.ts';
import { encodeChange, encodeState, readState, type StateChange, type StateReading } from './state-record.ts';

export interface StateDbParams {
  /** null: nothing is kept. */
  readonly path: string | null;
  readonly log: Logger;
  /** Take this path for this process alone, or say who has it. */
  lock(path: string): { readonly lock: { release(): void } } | { readonly heldBy: string };
  readonly clock?: Clock;
  /** Ids, and stamps, that are remembered at one time: the oldest go first. Default 50,000. */
  readonly maxRevoked?: number;
  /** Default three hours. */
  readonly maxAgeMs?: number;
}

/** A stamp's name and one of its values, as JSON. */
export type Stamp = readonly [name: string, valueJson: string];

/** Another kind of file may be of any size. */
const maxFileBytes = 256 * 1024 * 1024;
/** How much may be added to a file before it is written anew: as much as it began with, and this. */
const spareBytes = 64 * 1024;
/** Ids on one line of a new file: what damage to it costs. */
const idsPerLine = 256;
/** How long a new value of the clock may wait for the next revoke. */
const clockDelayMs = 1000;
/** How long until another try when the disk has refused. */
const retryMs = 5000;

export class StateDb implements Component {
  readonly name = 'statedb';
  /** After this an id is forgotten. */
  readonly maxAgeMs: number;
  readonly #params: StateDbParams;
  readonly #clock: Clock;
  readonly #ids: ExpiringSet;
  /** Each as the JSON text of a Stamp. */
  readonly #stamps: ExpiringSet;
  #logicalClock = 0;
  #file: StateFile | null = null;
  #lock: { release(): void } | null = null;
  /** Length of the file when it was last written anew. */
  #newBytes = 0;
  /** The end of the file is not known: it has to be written anew. */
  #broken = false;
  #saidSo = false;
  readonly #dirtyIds = new Set<string>();
  readonly #dirtyStamps = new Set<string>();
  #clockDirty = false;
  #soon: NodeJS.Immediate | null = null;
  #timer: Timer | undefined;

  constructor(params: StateDbParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.maxAgeMs = params.maxAgeMs ?? 10_800_000;
    const bounds = { clock: this.#clock, maxSize: params.maxRevoked ?? 50_000, maxAgeMs: this.maxAgeMs };
    this.#ids = new ExpiringSet(bounds);
    this.#stamps = new ExpiringSet(bounds);
  }

  /**
   * Load what was kept. Rejects with STATEDB_IN_USE or FILE_CANNOT_CREATE. A damaged file is set aside with a warning, and what is whole in it
   * is kept; a file of another kind was named by mistake and is not touched.
   */
  async start(): Promise<void> {
    const { path } = this.#params;
    if (path === null || this.#file !== null) return;
    try {
      const file = new StateFile(path);
      // First of all: beside somebody else's file nothing is made.
      read(file);
      this.#take(path);
      this.#load(file);
      file.replace(this.#wholeText());
      this.#file = file;
      this.#newBytes = file.bytes;
    } catch (error) {
      this.#release();
      if (error instanceof UmbelError) throw error;
      throw new UmbelError('FILE_CANNOT_CREATE', `the state database cannot be opened: ${messageOf(error)} (${path})`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    this.flush();
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    try {
      this.#file?.close();
    } catch (error) {
      this.#complain(error);
    }
    this.#file = null;
    this.#release();
  }

  isRevoked(taskId: string): boolean {
    return this.#ids.has(taskId);
  }

  /** From now on. */
  revoke(taskIds: Iterable<string>): void {
    for (const taskId of taskIds) {
      this.#ids.add(taskId);
      this.#dirtyIds.add(taskId);
    }
    this.#later();
  }

  /** True while there is any: whoever has none need not look at the stamps of tasks. */
  get hasRevokedStamps(): boolean {
    return this.#stamps.size > 0;
  }

  isStampRevoked(stamp: Stamp): boolean {
    return this.#stamps.has(JSON.stringify(stamp));
  }

  /** From now on. */
  revokeStamps(stamps: Iterable<Stamp>): void {
    for (const stamp of stamps) {
      const text = JSON.stringify(stamp);
      this.#stamps.add(text);
      this.#dirtyStamps.add(text);
    }
    this.#later();
  }

  /** Revoked ids and how long they have been, in milliseconds, oldest first. */
  revoked(): Iterable<[taskId: string, ageMs: number]> {
    return this.#ids.ages();
  }

  /** What other workers know: ids and how long they have been revoked. Returns those that were not known here. */
  merge(ages: Iterable<readonly [taskId: string, ageMs: number]>): string[] {
    const added = this.#ids.merge(ages);
    for (const taskId of added) this.#dirtyIds.add(taskId);
    if (added.length > 0) this.#later();
    return added;
  }

  /** The logical clock as it was left; 0 at first. */
  get logicalClock(): number {
    return this.#logicalClock;
  }

  set logicalClock(value: number) {
    if (value === this.#logicalClock) return;
    this.#logicalClock = value;
    this.#clockDirty = true;
    this.#wakeIn(clockDelayMs);
  }

  /** What has changed is with the kernel when this returns, or was said not to be. */
  flush(): void {
    if (this.#soon !== null) clearImmediate(this.#soon);
    this.#soon = null;
    const file = this.#file;
    if (file === null || !(this.#broken || this.#clockDirty || this.#dirtyIds.size + this.#dirtyStamps.size > 0)) return;
    try {
      if (this.#broken || file.bytes > this.#newBytes * 2 + spareBytes) {
        file.replace(this.#wholeText());
        this.#newBytes = file.bytes;
      } else file.append(encodeChange(this.#change()));
    } catch (error) {
      this.#broken = true;
      this.#complain(error);
      this.#wakeIn(retryMs);
      return;
    }
    this.#broken = false;
    this.#saidSo = false;
    this.#clockDirty = false;
    this.#dirtyIds.clear();
    this.#dirtyStamps.clear();
  }

  #take(path: string): void {
    const attempt = this.#params.lock(`${path}.lock`);
    if ('heldBy' in attempt) {
      throw new UmbelError('STATEDB_IN_USE', `a state database serves one worker at a time, and ${path} is in use by ${attempt.heldBy}`);
    }
    this.#lock = attempt.lock;
  }

  #release(): void {
    this.#lock?.release();
    this.#lock = null;
  }

  #load(file: StateFile): void {
    const { changes, condition } = read(file);
    const nowMs = this.#clock.now();
    const ids: [string, number][] = [];
    const stamps: [string, number][] = [];
    for (const change of changes) {
      for (const [id, atMs] of change.ids ?? []) ids.push([id, nowMs - atMs]);
      for (const [name, valueJson, atMs] of change.stamps ?? []) stamps.push([JSON.stringify([name, valueJson]), nowMs - atMs]);
      this.#logicalClock = Math.max(this.#logicalClock, change.clock ?? 0);
    }
    this.#ids.merge(ids);
    this.#stamps.merge(stamps);
    if (condition === 'damaged') this.#setAside(file);
  }

  #setAside(file: StateFile): void {
    const asidePath = `${file.path}.damaged-${new Date(this.#clock.now()).toISOString().replaceAll(':', '')}`;
    file.keepAs(asidePath);
    this.#params.log.warning(
      'statedb.damaged',
      `The state database is damaged and was set aside as ${asidePath}; ${this.#ids.size} revoked ids could still be read from it`,
    );
  }

  #change(): StateChange {
    const nowMs = this.#clock.now();
    const ids = [...this.#dirtyIds].flatMap((id) => withTime(id, this.#ids.age(id), nowMs));
    const stamps = [...this.#dirtyStamps].flatMap((text) => withTime(text, this.#stamps.age(text), nowMs)).map(stampRow);
    return {
      ...(ids.length === 0 ? null : { ids }),
      ...(stamps.length === 0 ? null : { stamps }),
      ...(this.#clockDirty ? { clock: this.#logicalClock } : null),
    };
  }

  #wholeText(): string {
    const nowMs = this.#clock.now();
    const ids = [...this.#ids.ages()].map(([id, ageMs]) => [id, Math.round(nowMs - ageMs)] as const);
    const stamps = [...this.#stamps.ages()].map(([text, ageMs]) => stampRow([text, Math.round(nowMs - ageMs)]));
    const changes: StateChange[] = [{ clock: this.#logicalClock }];
    for (let from = 0; from < ids.length; from += idsPerLine) changes.push({ ids: ids.slice(from, from + idsPerLine) });
    for (let from = 0; from < stamps.length; from += idsPerLine) changes.push({ stamps: stamps.slice(from, from + idsPerLine) });
    return encodeState(changes);
  }

  #later(): void {
    if (this.#file === null) return;
    this.#soon ??= setImmediate(() => this.flush());
  }

  #wakeIn(delayMs: number): void {
    if (this.#file === null || this.#timer !== undefined) return;
    const wake = (): void => {
      this.#timer = undefined;
      this.flush();
    };
    this.#timer = this.#clock.setTimer(wake, delayMs, { ref: false });
  }

  #complain(error: unknown): void {
    if (this.#saidSo) return;
    this.#saidSo = true;
    this.#params.log.error(
      'statedb.not-written',
      `The state database cannot be written, and is tried again every ${retryMs / 1000}s: ${messageOf(error)}`,
    );
  }
}

/** Unix time since when; nothing when it is no member any more. */
function withTime(member: string, ageMs: number | undefined, nowMs: number): [string, number][] {
  return ageMs === undefined ? [] : [[member, Math.round(nowMs - ageMs)]];
}

function stampRow([text, atMs]: readonly [string, number]): readonly [string, string, number] {
  const [name, valueJson] = JSON.parse(text) as Stamp;
  return [name, valueJson, atMs];
}

/** Throws for a file of another kind. */
function read(file: StateFile): StateReading {
  const found = file.read(maxFileBytes);
  const reading: StateReading = found === null ? { changes: [], condition: 'whole' } : readState(found);
  if (reading.condition !== 'foreign') return reading;
  throw new UmbelError(
    'FILE_CANNOT_CREATE',
    `the state database must be a file that a worker made, or a new one, got a file of another kind, which is left as it is: ${file.path}`,
  );
}
