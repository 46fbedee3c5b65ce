/**
 * Follow-ups as messages, and the chords of a task as what is said of them beside its end.
 *
 * The body of a chord and its error callbacks are messages like the others; their `chord` says when they are to be published.
 */
import { messageOf } from '../errors.ts';
import type { ChordMessage, ChordPartEnd, ChordStart, NamedTask } from '../protocol/chord-part.ts';
import type { MessageProperties } from '../protocol/message.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { type ChordEnd, resultsToken } from './chord-end.ts';
import type { FollowUps } from './follow-up.ts';
import { mappedTask } from './mapped-task.ts';
import type { OutgoingTaskWithRoute, SignatureRoute } from './signature-task.ts';

export interface FollowUpMessage {
  readonly meta: {
    readonly taskName: string;
    readonly taskId: string;
    readonly headers: Readonly<Record<string, unknown>> | null;
    readonly properties: MessageProperties;
    readonly route: SignatureRoute;
    readonly dueAtMs: number | null;
    readonly chords?: readonly ChordStart[];
    readonly chord?: ChordMessage;
  };
  readonly body: Buffer;
}

export interface FollowUpNotes {
  readonly unsupported?: readonly string[];
  readonly failedSteps?: readonly NamedTask[];
  readonly chordParts?: readonly ChordPartEnd[];
}

/** What is known here of where a task goes: what its signature says, perhaps completed by what the task says. */
export type RouteOf = (taskName: string, route: SignatureRoute) => SignatureRoute;

interface Encoding {
  readonly protocol: 1 | 2;
  readonly routeOf: RouteOf;
}

function followUpMessage(task: OutgoingTaskWithRoute, { protocol, routeOf }: Encoding, chord?: ChordMessage): FollowUpMessage {
  const { route, chords, ...sent } = task;
  const message = encodeTask({ ...sent, protocol });
  return {
    meta: {
      taskName: mappedTask(task.task, task.kwargs) ?? task.task,
      taskId: task.id,
      headers: message.headers,
      properties: message.properties,
      route: routeOf(task.task, route),
      dueAtMs: task.etaMs ?? null,
      ...(chords === undefined ? null : { chords }),
      ...(chord === undefined ? null : { chord }),
    },
    body: message.body,
  };
}

/** All of them, and what is to be said of them; absent: nothing. Throws what encodeTask throws, unless `lenient`. */
export function encodeFollowUps(
  applied: FollowUps,
  protocol: 1 | 2,
  routeOf: RouteOf = (_name, route) => route,
): { messages: FollowUpMessage[]; about: FollowUpNotes } {
  const encoding = { protocol, routeOf };
  const { failedSteps, chords, lenient } = applied;
  const unsupported = [...applied.unsupported];
  const messages: FollowUpMessage[] = [];
  for (const task of applied.publish) {
    if (lenient === true) tryMessage(task, encoding, undefined, messages, unsupported);
    else messages.push(followUpMessage(task, encoding));
  }
  const parts = chords.length === 0 ? null : { chordParts: chordParts(chords, encoding, messages, unsupported) };
  return {
    messages,
    about: {
      ...(unsupported.length === 0 ? null : { unsupported }),
      ...(failedSteps.length === 0 ? null : { failedSteps }),
      ...parts,
    },
  };
}

function tryMessage(
  task: OutgoingTaskWithRoute,
  encoding: Encoding,
  chord: ChordMessage | undefined,
  messages: FollowUpMessage[],
  unsupported: string[],
): void {
  try {
    messages.push(followUpMessage(task, encoding, chord));
  } catch (error) {
    unsupported.push(`an error callback: ${messageOf(error)}`);
  }
}

/** The parts, numbered; messages are added to `messages`. */
function chordParts(ends: readonly ChordEnd[], encoding: Encoding, messages: FollowUpMessage[], unsupported: string[]): ChordPartEnd[] {
  let number = 0;
  const partOf = (end: ChordEnd): ChordPartEnd => {
    number += 1;
    const part = number;
    let { bodyError } = end;
    const mark = messages.length;
    try {
      // What it is compressed with waits until the results are in it.
      for (const { compression, ...task } of end.body) {
        const more = typeof compression === 'string' ? { compression } : null;
        messages.push(followUpMessage(task, encoding, { part, on: 'complete', ...more }));
      }
    } catch (error) {
      messages.length = mark;
      bodyError = messageOf(error);
    }
    for (const task of end.errbacks) tryMessage(task, encoding, { part, on: 'failed' }, messages, unsupported);
    const { taskId, groupId, groupIndex, chordSize, failed, outer } = end;
    return { part, taskId, groupId, groupIndex, chordSize, resultsToken, bodyError, failed, outer: outer.map(partOf) };
  };
  return ends.map(partOf);
}
