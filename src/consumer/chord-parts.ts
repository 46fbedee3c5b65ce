/**
 * The end of tasks that are parts of chords.
 *
 * Owns the order (backend/group-store.ts has the reasons): the result is stored and the part counted in one step, and the message
 * acknowledged in the same step where backend and broker are one place → if that completed the chord, the message was kept: body
 * published, or its failure stored and its error callbacks published → the message acknowledged, in one turn with the end of the chord.
 * So a worker that dies in between completes it again when the message comes again.
 *
 * A body that fails without having run may be a part of another chord: that one is told in the same way. What becomes of a chord of which nobody knows
 * how many parts it has is unsized-chords.ts.
 * Source: redis.md §5.4, messages.md §9; Celery's words.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { ChordOutcome, GroupStore } from '../backend/group-store.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FollowUp } from '../pool/job.ts';
import { reprException } from '../protocol/chord-member.ts';
import type { ChordPartEnd } from '../protocol/chord-part.ts';
import { chordError, exceptionDocument } from '../protocol/exception.ts';
import type { ResultRecord } from '../protocol/result.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { newUuid } from '../std/new-uuid.ts';
import { withResults } from './chord-body.ts';
import type { FollowUpPublisher } from './follow-up-publisher.ts';
import { mayPass } from './may-pass.ts';
import { UnsizedChords } from './unsized-chords.ts';

export interface ChordPartsParams {
  readonly backend: ResultBackend | null;
  readonly publisher: FollowUpPublisher;
  /** `commitsWith` of backend and broker. */
  readonly joint: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** A task that is a part of chords, or whose chain goes on to one. */
export interface ChordEnding {
  readonly parts: readonly ChordPartEnd[];
  /** What may have to be published, among others. */
  readonly followUps: readonly FollowUp[];
  /** What the part is counted with. */
  readonly record: ResultRecord;
  /** The record is only counted with, not stored. */
  readonly ignoreResult: boolean;
}

/** One part to be counted, with its result. */
interface CountedPart {
  readonly part: ChordPartEnd;
  readonly record: ResultRecord;
  readonly ignoreResult: boolean;
}

type Failure = Extract<ChordOutcome, { readonly kind: 'failed' }>;

/** What is left to do when every part is counted, in one turn with the acknowledgement. */
interface Rest {
  readonly groups: GroupStore;
  readonly records: ResultRecord[];
  readonly endedGroupIds: string[];
}

export class ChordParts {
  readonly #params: ChordPartsParams;
  /** Begun with the first of them. */
  #unsized: UnsizedChords | null = null;
  #stopped = false;

  constructor(params: ChordPartsParams) {
    this.#params = params;
  }

  /** Nothing is given up any more. */
  stop(): void {
    this.#stopped = true;
    this.#unsized?.stop();
  }

  /** Says so when there is nobody to count it. */
  canCount(ending: ChordEnding): boolean {
    const { backend, log } = this.#params;
    if (backend !== null && backend.groups !== null) return true;
    const why = backend === null ? 'there is no result backend' : `${backend.displayUrl} cannot count the parts of chords`;
    for (const { taskId, groupId } of ending.parts) {
      log.error(
        'chord.not-counted',
        `Task ${escapeControls(`${taskId} is part of chord ${groupId}`)}, whose body will not run: ${why}; result.backend must be one that counts parts`,
        {
          taskId,
          groupId,
        },
      );
    }
    return false;
  }

  /** `others` are stored as well. Rejects when a step failed; the message is not acknowledged then. */
  async settle(ending: ChordEnding, others: readonly ResultRecord[], acknowledge: () => Promise<unknown>): Promise<void> {
    const { backend, joint } = this.#params;
    if (backend === null || backend.groups === null) throw new Error('canCount was not asked');
    const recordOf = new Map([...others, ending.record].map((record) => [record.taskId, record]));
    let pending: CountedPart[] = [];
    for (const part of ending.parts) {
      const record = recordOf.get(part.taskId);
      if (record === undefined) continue;
      pending.push({ part, record, ignoreResult: record === ending.record && ending.ignoreResult });
      recordOf.delete(part.taskId);
    }
    if (ending.ignoreResult) recordOf.delete(ending.record.taskId);
    const rest: Rest = { groups: backend.groups, records: [], endedGroupIds: [] };
    const stored: Promise<unknown>[] = [...recordOf.values()].map((record) => backend.store(record));
    const [only] = pending;
    if (joint && only !== undefined && pending.length === 1) {
      if (stored.length > 0) await Promise.all(stored.splice(0));
      const outcome = await this.#count(only, rest.groups, acknowledge);
      if (outcome.kind === 'unsized') this.#noteUnsized(only.part, ending.followUps, outcome.counted, rest.groups);
      if (outcome.kind === 'counted' || outcome.kind === 'unsized') return;
      pending = await this.#finish(only.part, outcome, ending.followUps, rest);
    }
    await this.#countAll(pending, ending.followUps, rest, stored);
    if (!joint) await Promise.all(rest.records.map((record) => backend.store(record)));
    const ended = rest.endedGroupIds.map((groupId) => this.#end(groupId, rest.groups));
    const settled = joint && rest.records.length > 0 ? backend.storeAndSettle(rest.records, acknowledge) : acknowledge();
    await Promise.all([...ended, settled]);
  }

  /** And those that end with them, and those again. `stored`: what is on its way meanwhile. */
  async #countAll(
    parts: readonly CountedPart[],
    followUps: readonly FollowUp[],
    rest: Rest,
    stored: readonly Promise<unknown>[],
  ): Promise<void> {
    let pending = parts;
    while (pending.length > 0) {
      const counting = pending.map((counted) => this.#count(counted, rest.groups, undefined));
      const [outcomes] = await Promise.all([Promise.all(counting), ...stored]);
      const next: CountedPart[] = [];
      for (const [index, { part }] of pending.entries()) {
        const outcome = outcomes[index];
        if (outcome !== undefined) next.push(...(await this.#finish(part, outcome, followUps, rest)));
      }
      pending = next;
    }
    await Promise.all(stored);
  }

  #noteUnsized(part: ChordPartEnd, followUps: readonly FollowUp[], counted: number, groups: GroupStore): void {
    const { backend, log, clock = systemClock } = this.#params;
    if (this.#stopped || backend === null) return;
    this.#unsized ??= new UnsizedChords({
      backend,
      groups,
      log,
      clock,
      fail: (given, failure, messages) => this.#giveUp(given, failure, messages, groups),
    });
    this.#unsized.note(part, followUps, counted);
  }

  /** With no message of its own to acknowledge. */
  async #giveUp(part: ChordPartEnd, failure: Failure, followUps: readonly FollowUp[], groups: GroupStore): Promise<void> {
    const { backend } = this.#params;
    const rest: Rest = { groups, records: [], endedGroupIds: [] };
    await this.#countAll(await this.#fail(part, failure, followUps, rest), followUps, rest, []);
    await Promise.all(rest.endedGroupIds.map((groupId) => this.#end(groupId, groups)));
    await Promise.all(rest.records.map((record) => backend?.store(record)));
  }

  #count(counted: CountedPart, groups: GroupStore, acknowledge: (() => Promise<unknown>) | undefined): Promise<ChordOutcome> {
    const { part, record, ignoreResult } = counted;
    const { groupId, groupIndex, chordSize } = part;
    return groups.storeChordPart(record, { groupId, groupIndex, chordSize, ignoreResult }, acknowledge);
  }

  /** The body is on its way: what is left of the chord is no reason to run a part again. */
  async #end(groupId: string, groups: GroupStore): Promise<void> {
    try {
      await groups.endChord(groupId);
    } catch (error) {
      this.#params.log.warning(
        'chord.not-ended',
        `The counters of chord ${escapeControls(groupId)} could not be deleted: ${messageOf(error)}`,
        {
          groupId,
        },
      );
    }
  }

  /** Parts of other chords that end with this one. */
  async #finish(part: ChordPartEnd, outcome: ChordOutcome, followUps: readonly FollowUp[], rest: Rest): Promise<CountedPart[]> {
    switch (outcome.kind) {
      case 'counted':
        return [];
      case 'unsized':
        this.#noteUnsized(part, followUps, outcome.counted, rest.groups);
        return [];
      case 'complete': {
        const refusal = await this.#publishBody(part, followUps, outcome.resultsJson);
        rest.endedGroupIds.push(part.groupId);
        return refusal === null ? [] : this.#fail(part, refusal, followUps, rest);
      }
      case 'failed':
        return this.#fail(part, outcome, followUps, rest);
    }
  }

  /** Why it could not be published, and never will be; null: it is. Rejects when it may go better another time. */
  async #publishBody(part: ChordPartEnd, followUps: readonly FollowUp[], resultsJson: string): Promise<Failure | null> {
    const { publisher, log } = this.#params;
    if (part.bodyError !== null) return callbackError(part.bodyError);
    try {
      const messages = messagesFor(part, 'complete', followUps);
      const mark = newUuid();
      await publisher.publish(messages.map((message) => withResults(message, part.resultsToken, resultsJson, mark)));
    } catch (error) {
      if (mayPass(error)) throw error;
      return callbackError(reprException(JSON.stringify(exceptionDocument(error))));
    }
    log.debug('chord.complete', `Chord ${escapeControls(part.groupId)} is complete, its body is sent`, {
      taskId: part.taskId,
      groupId: part.groupId,
    });
    return null;
  }

  async #fail(part: ChordPartEnd, failure: Failure, followUps: readonly FollowUp[], rest: Rest): Promise<CountedPart[]> {
    const { publisher, log } = this.#params;
    const about = { taskId: part.taskId, groupId: part.groupId };
    log.error('chord.failed', `Chord ${escapeControls(part.groupId)} raised: ${reprException(JSON.stringify(failure.exception))}`, about);
    try {
      const messages = messagesFor(part, 'failed', followUps);
      await publisher.publish(messages.map(({ meta: { chord, ...meta }, body }) => ({ meta, body })));
    } catch (error) {
      if (mayPass(error)) throw error;
      log.error(
        'chord.errback-failed',
        `The error callbacks of chord ${escapeControls(part.groupId)} could not be sent: ${messageOf(error)}`,
        about,
      );
    }
    const records = part.failed.map(({ taskId, groupId }) => failedBody(taskId, groupId, failure));
    const next: CountedPart[] = [];
    for (const record of records) {
      const outer = part.outer.find(({ taskId }) => taskId === record.taskId);
      if (outer === undefined) rest.records.push(record);
      else next.push({ part: outer, record, ignoreResult: false });
    }
    return next;
  }
}

function messagesFor(part: ChordPartEnd, on: 'complete' | 'failed', followUps: readonly FollowUp[]): FollowUp[] {
  return followUps.filter(({ meta }) => meta.chord?.part === part.part && meta.chord.on === on);
}

function callbackError(cause: string): Failure {
  const message = `Callback error: ${cause}`;
  return { kind: 'failed', exception: chordError(message), traceback: `celery.exceptions.ChordError: ${message}\n` };
}

function failedBody(taskId: string, groupId: string | null, { exception, traceback }: Failure): ResultRecord {
  return {
    taskId,
    status: 'FAILURE',
    resultJson: JSON.stringify(exception),
    traceback,
    childrenJson: '[]',
    dateDoneMs: Date.now(),
    groupId,
    parentId: null,
  };
}
