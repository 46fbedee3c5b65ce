/** Groups and chords in this process's memory, beside memory.ts. There is no durability to be had, so no step is joined with another. */
import type { ChordMember } from '../protocol/chord-member.ts';
import type { ResultRecord } from '../protocol/result.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { Clock } from '../std/clock.ts';
import { outcomeOfJoin, outcomeOfMembers, sizeLost } from './chord-outcome.ts';
import { type DocumentSource, type JoinOutcome, joinGroup } from './group-join.ts';
import type { ChordOutcome, ChordPart, GroupStore } from './group-store.ts';

export interface MemoryGroupsParams {
  readonly source: DocumentSource;
  readonly expiresMs: number;
  readonly chordJoinTimeoutMs: number;
  readonly chordSizeTimeoutMs: number;
  readonly clock: Clock;
  store(record: ResultRecord): Promise<void>;
}

interface Chord {
  size: number | null;
  added: number;
  completedBy: string | null;
  ended: boolean;
  readonly parts: Map<string, ChordMember & { readonly place: number }>;
  expiresAtMs: number;
}

export class MemoryGroups implements GroupStore {
  readonly sizeTimeoutMs: number;
  readonly #params: MemoryGroupsParams;
  readonly #groups = new Map<string, { readonly group: ResultTuple; readonly expiresAtMs: number }>();
  readonly #chords = new Map<string, Chord>();
  readonly #runs = new Map<string, { readonly mark: string; readonly expiresAtMs: number }>();

  constructor(params: MemoryGroupsParams) {
    this.#params = params;
    this.sizeTimeoutMs = params.chordSizeTimeoutMs;
  }

  async storeChordPart(record: ResultRecord, part: ChordPart, settle?: () => Promise<unknown>): Promise<ChordOutcome> {
    if (!part.ignoreResult) await this.#params.store(record);
    const outcome = await this.#count(record, part);
    if (outcome.kind === 'counted' || outcome.kind === 'unsized') await settle?.();
    return outcome;
  }

  /** What it was remains until it expires: a part that is delivered again begins no new one. */
  async endChord(groupId: string): Promise<void> {
    const chord = this.#chords.get(groupId);
    if (chord === undefined) return;
    chord.ended = true;
    chord.parts.clear();
  }

  async giveUpChord(groupId: string, _taskId: string, counted: number): Promise<ChordOutcome> {
    const chord = this.#chords.get(groupId);
    if (chord === undefined || chord.ended || chord.size !== null) return { kind: 'counted' };
    const there = chord.parts.size;
    if (there !== counted) return { kind: 'unsized', counted: there };
    await this.endChord(groupId);
    return sizeLost(groupId, counted);
  }

  async setChordSize(groupId: string, size: number): Promise<void> {
    this.#chord(groupId).size = size;
  }

  async addToChord(groupId: string): Promise<void> {
    this.#chord(groupId).added += 1;
  }

  async claimRun(taskId: string, mark: string): Promise<'first' | 'same' | 'other'> {
    const known = this.#runs.get(taskId);
    if (known !== undefined) return known.mark === mark ? 'same' : 'other';
    this.#runs.set(taskId, { mark, expiresAtMs: this.#params.clock.now() + this.#params.expiresMs });
    return 'first';
  }

  async saveGroup(groupId: string, group: ResultTuple): Promise<void> {
    this.#groups.delete(groupId);
    this.#groups.set(groupId, { group, expiresAtMs: this.#params.clock.now() + this.#params.expiresMs });
  }

  async restoreGroup(groupId: string): Promise<ResultTuple | null> {
    const saved = this.#groups.get(groupId);
    return saved === undefined || saved.expiresAtMs <= this.#params.clock.now() ? null : saved.group;
  }

  async deleteGroup(groupId: string): Promise<void> {
    this.#groups.delete(groupId);
  }

  join(group: ResultTuple, timeoutMs: number): Promise<JoinOutcome> {
    return joinGroup(group, this.#params.source, timeoutMs, this.#params.clock);
  }

  /** Delete what has expired; how many. */
  cleanup(): number {
    const nowMs = this.#params.clock.now();
    let deleted = 0;
    for (const map of [this.#groups, this.#chords, this.#runs]) {
      for (const [groupId, { expiresAtMs }] of map) {
        if (expiresAtMs > nowMs) continue;
        map.delete(groupId);
        deleted += 1;
      }
    }
    return deleted;
  }

  async #count({ taskId, status, resultJson }: ResultRecord, part: ChordPart): Promise<ChordOutcome> {
    const { groupId, groupIndex, chordSize } = part;
    const chord = this.#chord(groupId);
    if (chord.ended) return { kind: 'counted' };
    const present = chord.parts.get(taskId);
    if (present === undefined || (status === 'SUCCESS' && present.state !== 'SUCCESS'))
      chord.parts.set(taskId, { taskId, state: status, resultJson, place: groupIndex ?? Number.POSITIVE_INFINITY });
    const size = chord.size ?? chordSize;
    if (size === null) return { kind: 'unsized', counted: chord.parts.size };
    if (chord.parts.size !== size + chord.added) return { kind: 'counted' };
    if (chord.completedBy !== null && chord.completedBy !== taskId) return { kind: 'counted' };
    chord.completedBy = taskId;
    const group = await this.restoreGroup(groupId);
    if (group !== null) return outcomeOfJoin(await this.join(group, this.#params.chordJoinTimeoutMs));
    const parts = [...chord.parts.values()];
    return outcomeOfMembers(parts.sort((a, b) => (a.place === b.place ? compare(a.taskId, b.taskId) : a.place - b.place)));
  }

  #chord(groupId: string): Chord {
    const expiresAtMs = this.#params.clock.now() + this.#params.expiresMs;
    let chord = this.#chords.get(groupId);
    if (chord === undefined) {
      chord = { size: null, added: 0, completedBy: null, ended: false, parts: new Map(), expiresAtMs };
      this.#chords.set(groupId, chord);
    }
    chord.expiresAtMs = expiresAtMs;
    return chord;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
