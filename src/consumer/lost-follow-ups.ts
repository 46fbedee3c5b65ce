/**
 * What follows from a task that ends with no child to say it: its child died, or it was never run. The parent reads the body
 * this once.
 */
import { hostname } from 'node:os';
import type { FinishedTask } from '../canvas/finished-task.ts';
import { chordsOf, type FollowUps, followUpsOfFailure } from '../canvas/follow-up.ts';
import { encodeFollowUps, type FollowUpNotes } from '../canvas/follow-up-message.ts';
import { messageOf } from '../errors.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import type { FollowUp } from '../pool/job.ts';
import { errbackArgs } from '../protocol/errback.ts';
import type { ExceptionDocument } from '../protocol/exception.ts';
import type { Message } from '../protocol/message.ts';
import { readContent, type TaskContent, type TaskHeader } from '../protocol/task-message.ts';

export interface LostFollowUps extends FollowUpNotes {
  /** null: none. */
  readonly followUps: readonly FollowUp[] | null;
}

export interface LostTask {
  readonly delivery: Message;
  readonly header: TaskHeader;
}

const nothing: LostFollowUps = { followUps: null };

/** What it failed with, and what is known of tasks. */
export interface LostTaskFailure {
  readonly tasks: ReadonlyMap<string, TaskOffer>;
  readonly hostname: string;
  readonly exception: ExceptionDocument;
  readonly traceback: string | null;
}

/** Its error callbacks, the rest of its chain and its chord. */
export function lostFollowUps(task: LostTask, failure: LostTaskFailure): LostFollowUps {
  return read(task, 'its error callbacks', (finished, content) => {
    const takesError = (name: string): boolean => failure.tasks.get(name)?.takesError === true;
    return followUpsOfFailure(finished, content, {}, { takesError, args: () => errbackArgs(task.header, content, failure) });
  });
}

/** Only the chord is told of a task that was never run. Most tasks are in no group, and their bodies are not looked at. */
export function chordOfUnrun(task: LostTask): LostFollowUps {
  if (task.header.group === null) return nothing;
  return read(task, 'its chord', (finished, content) => {
    const { list, unsupported } = chordsOf(finished, content);
    return { publish: [], unsupported, children: [], failedSteps: [], chords: list };
  });
}

function read({ delivery, header }: LostTask, what: string, apply: (task: FinishedTask, content: TaskContent) => FollowUps): LostFollowUps {
  try {
    const { id, rootId, group, groupIndex, stampedHeaders, stamps } = header;
    const origin = `gen${process.pid}@${hostname()}`;
    const task = { id, rootId, group, groupIndex, priority: null, origin, stampedHeaders, stamps };
    const { messages, about } = encodeFollowUps(apply(task, readContent(delivery, header.protocol)), 2);
    return { ...about, followUps: messages.length === 0 ? null : messages };
  } catch (error) {
    return { followUps: null, unsupported: [`${what}: ${messageOf(error)}`] };
  }
}
