/**
 * Groups and chords in Redis, in Celery's keys.
 *
 * Owns the order in which a chord is counted, joined and ended. The counting itself is chord-script.ts.
 * Source: protocol notes, redis.md §5.4 and §5.6.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import type { RedisFailure } from '../../driver/redis-failure.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import { chordMemberHead, decodeChordMember, encodeChordMember } from '../../protocol/chord-member.ts';
import { encodeResultDocument, type ResultRecord } from '../../protocol/result.ts';
import type { ResultTuple } from '../../protocol/result-tuple.ts';
import type { Clock } from '../../std/clock.ts';
import { newUuid } from '../../std/new-uuid.ts';
import { groupLost, joinFailed, outcomeOfJoin, outcomeOfMembers, partsLost, sizeLost } from '../chord-outcome.ts';
import { type JoinOutcome, joinGroup } from '../group-join.ts';
import type { ChordOutcome, ChordPart, GroupStore } from '../group-store.ts';
import { readSavedGroup, savedGroup } from '../saved-group.ts';
import { giveUpScript, restorePartsScript } from './chord-script.ts';
import { foundParts, isLoss, type Loss, missingParts, unknownParts } from './lost-parts.ts';
import { PartCount, type PartCountParams } from './part-count.ts';
import type { ResultKeys } from './result-keys.ts';
import { backendUnavailable, type ResultReader } from './result-reader.ts';
import type { ResultWatch } from './result-watch.ts';
import { refuseTooLarge } from './value-limit.ts';

export interface RedisGroupsParams {
  readonly connection: RedisConnection;
  readonly keys: ResultKeys;
  readonly reader: ResultReader;
  readonly watch: ResultWatch;
  /** null: for ever. */
  readonly resultExpiresMs: number | null;
  /** Parts in a sorted set (Celery's default since 5.0), or a list. */
  readonly chordOrdered: boolean;
  readonly chordJoinTimeoutMs: number;
  readonly chordSizeTimeoutMs: number;
  readonly clock: Clock;
}

const mostKeys = 500;
const dayMs = 86_400_000;

export class RedisGroups implements GroupStore {
  readonly sizeTimeoutMs: number;
  readonly #params: RedisGroupsParams;
  readonly #ttl: string;

  constructor(params: RedisGroupsParams) {
    this.#params = params;
    this.sizeTimeoutMs = params.chordSizeTimeoutMs;
    this.#ttl = params.resultExpiresMs === null ? '' : String(Math.max(1, Math.round(params.resultExpiresMs)));
  }

  async storeChordPart(record: ResultRecord, part: ChordPart, settle?: () => Promise<unknown>): Promise<ChordOutcome> {
    const { keys, chordOrdered } = this.#params;
    const { taskId, status, resultJson } = record;
    const { groupId, groupIndex, chordSize } = part;
    const chord = keys.chord(groupId);
    const document = part.ignoreResult ? '' : encodeResultDocument(record);
    const member = encodeChordMember({ taskId, state: status, resultJson });
    refuseTooLarge(document, taskId);
    refuseTooLarge(member, taskId);
    const call = {
      keys: [keys.task(taskId), chord.parts, chord.added, chord.size, chord.claim, chord.group, chord.seen],
      args: [
        document,
        this.#ttl,
        chordOrdered ? '1' : '0',
        groupIndex === null ? '+inf' : String(groupIndex),
        member,
        chordMemberHead(taskId),
        taskId,
        chordSize === null ? '' : String(chordSize),
      ],
    };
    let reply = await this.#count(call, settle);
    if (isLoss(reply)) {
      const lost = await this.#restore(groupId, reply);
      if (lost.length === 0) reply = await this.#count(call, settle);
      if (isLoss(reply)) return partsLost(groupId, lost, lost.length === 0 ? unknownParts(reply) : 0);
    }
    if (typeof reply === 'number') return reply < 0 ? { kind: 'unsized', counted: -reply } : { kind: 'counted' };
    return this.#outcome(groupId, reply);
  }

  async #count(call: Pick<PartCountParams, 'keys' | 'args'>, settle?: () => Promise<unknown>): Promise<readonly unknown[] | number> {
    const { connection } = this.#params;
    let settled: Promise<unknown> | undefined;
    const removals = connection.removalsOf(() => {
      settled = settle?.();
    });
    const counted = new Promise<readonly unknown[] | number>((resolve, reject) => {
      const refuse = (failure: RedisFailure): void => reject(backendUnavailable(failure));
      connection.enqueue(new PartCount({ ...call, removal: removals[0] ?? null, resolve, reject: refuse }));
    });
    const [reply] = await Promise.all([counted, settled]);
    return reply;
  }

  /** Put back what is still stored of the parts that are gone; the ids of those of which nothing is. */
  async #restore(groupId: string, loss: Loss): Promise<readonly string[]> {
    const missing = missingParts(loss);
    const documents = await this.#documents(missing.map(({ taskId }) => taskId));
    const { found, lost } = foundParts(missing, documents);
    if (lost.length === 0 && found.length > 0)
      await this.#write([evalCommand(restorePartsScript, [this.#params.keys.chord(groupId).parts], [this.#ttl, ...found])]);
    return lost;
  }

  async #outcome(groupId: string, [kind, members, group]: readonly unknown[]): Promise<ChordOutcome> {
    if (kind === 'no-group') return groupLost(groupId);
    try {
      if (typeof group === 'string') return outcomeOfJoin(await this.join(readSavedGroup(group), this.#params.chordJoinTimeoutMs));
      return outcomeOfMembers((Array.isArray(members) ? members : []).map((text) => decodeChordMember(String(text))));
    } catch (error) {
      // What is stored there cannot be joined, now or later. An unreachable server is another matter.
      if (error instanceof UmbelError && error.code === 'MESSAGE_UNDECODABLE') return joinFailed(messageOf(error));
      throw error;
    }
  }

  async endChord(groupId: string): Promise<void> {
    const { parts, added, size, claim, seen } = this.#params.keys.chord(groupId);
    await this.#write([['DEL', parts, added, size, claim, seen]]);
  }

  async giveUpChord(groupId: string, taskId: string, counted: number): Promise<ChordOutcome> {
    const { parts, size, claim, seen } = this.#params.keys.chord(groupId);
    const args = [taskId, String(counted), this.#ttl === '' ? String(dayMs) : this.#ttl];
    const [reply] = await this.#write([evalCommand(giveUpScript, [parts, size, claim, seen], args)]);
    const there = Number(reply);
    if (there < 0) return sizeLost(groupId, counted);
    return there === 0 ? { kind: 'counted' } : { kind: 'unsized', counted: there };
  }

  /** Each claim is one of its own: sent again, because its reply was lost, it is known as itself and not taken for an earlier one. */
  async claimRun(taskId: string, mark: string): Promise<'first' | 'same' | 'other'> {
    const key = this.#params.keys.run(taskId);
    const claim = `${mark} ${newUuid()}`;
    const [set, known] = await this.#write([
      ['SET', key, claim, 'PX', this.#ttl === '' ? String(dayMs) : this.#ttl, 'NX'],
      ['GET', key],
    ]);
    if (set !== null || known === claim) return 'first';
    return typeof known === 'string' && known.startsWith(`${mark} `) ? 'same' : 'other';
  }

  /** With the announcement that Celery makes too. */
  async setChordSize(groupId: string, size: number): Promise<void> {
    const key = this.#params.keys.chord(groupId).size;
    await this.#write([this.#set(key, String(size)), ['PUBLISH', key, String(size)]]);
  }

  /** Not kept for a server that is away: sent twice, it would count twice. */
  async addToChord(groupId: string): Promise<void> {
    const { added, seen } = this.#params.keys.chord(groupId);
    await this.#write(
      [
        ['INCR', added],
        ['HINCRBY', seen, 'added', 1],
        ['PEXPIRE', seen, this.#ttl === '' ? String(dayMs) : this.#ttl],
      ],
      false,
    );
  }

  async saveGroup(groupId: string, group: ResultTuple): Promise<void> {
    const key = this.#params.keys.group(groupId);
    const text = savedGroup(group);
    await this.#write([this.#set(key, text), ['PUBLISH', key, text]]);
  }

  async restoreGroup(groupId: string): Promise<ResultTuple | null> {
    const text = await this.#params.reader.read('GET', this.#params.keys.group(groupId));
    return typeof text === 'string' ? readSavedGroup(text) : null;
  }

  async deleteGroup(groupId: string): Promise<void> {
    await this.#write([['DEL', this.#params.keys.group(groupId)]]);
  }

  join(group: ResultTuple, timeoutMs: number): Promise<JoinOutcome> {
    const { watch, clock } = this.#params;
    const source = {
      documents: (taskIds: readonly string[]) => this.#documents(taskIds),
      wait: (taskId: string, options: { readonly timeoutMs: number }) => watch.wait(taskId, options),
    };
    return joinGroup(group, source, timeoutMs, clock);
  }

  async #documents(taskIds: readonly string[]): Promise<Map<string, string>> {
    const { reader, keys } = this.#params;
    const documents = new Map<string, string>();
    for (let from = 0; from < taskIds.length; from += mostKeys) {
      const some = taskIds.slice(from, from + mostKeys);
      const texts = await reader.read('MGET', ...some.map((taskId) => keys.task(taskId)));
      if (!Array.isArray(texts)) continue;
      for (const [index, taskId] of some.entries()) {
        const text: unknown = texts[index];
        if (typeof text === 'string') documents.set(taskId, text);
      }
    }
    return documents;
  }

  #set(key: string, value: string): RedisCommand {
    return this.#ttl === '' ? ['SET', key, value] : ['SET', key, value, 'PX', this.#ttl];
  }

  async #write(commands: readonly RedisCommand[], keep = true): Promise<readonly unknown[]> {
    try {
      return await this.#params.connection.commit(commands, { keep });
    } catch (error) {
      throw backendUnavailable(error);
    }
  }
}
