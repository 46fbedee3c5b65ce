/**
 * A task as its events show it.
 *
 * Owns what an event does to a task when a later one came before it: what happened before the state it is in fills gaps and does not set it
 * back, and the name and arguments are those of `task-received`. Source: protocol notes, events.md §6; the rules of `celery.events.state`.
 */
import type { ReceivedEvent } from './receiver.ts';

/** When each of these happened (unix seconds), by the event. */
type Moments = Record<'sent' | 'received' | 'started' | 'succeeded' | 'failed' | 'retried' | 'revoked' | 'rejected', number | null>;

export interface TaskState extends Moments {
  readonly uuid: string;
  name: string | null;
  state: string;
  /** Node name of the worker that told of it last. */
  worker: string | null;
  /** Who sent it. */
  client: string | null;
  /** Of its last event. */
  timestamp: number | null;
  clock: number;
  args: unknown;
  kwargs: unknown;
  root_id: string | null;
  parent_id: string | null;
  retries: unknown;
  eta: unknown;
  expires: unknown;
  result: unknown;
  runtime: unknown;
  exception: unknown;
  traceback: unknown;
  queue: unknown;
  exchange: unknown;
  routing_key: unknown;
  /** Whatever else its events have said. */
  readonly more: Map<string, unknown>;
}

const stateOf: Readonly<Record<string, readonly [moment: keyof Moments, state: string]>> = {
  sent: ['sent', 'PENDING'],
  received: ['received', 'RECEIVED'],
  started: ['started', 'STARTED'],
  succeeded: ['succeeded', 'SUCCESS'],
  failed: ['failed', 'FAILURE'],
  retried: ['retried', 'RETRY'],
  revoked: ['revoked', 'REVOKED'],
  rejected: ['rejected', 'REJECTED'],
};

/** Celery's order of states: the lower wins. One that it does not know stands behind FAILURE. */
const precedence: Readonly<Record<string, number>> = {
  SUCCESS: 0,
  FAILURE: 1,
  REVOKED: 3,
  STARTED: 4,
  RECEIVED: 5,
  REJECTED: 6,
  RETRY: 7,
  PENDING: 8,
};
const unknownPrecedence = 2;

const receivedFields = new Set(['name', 'args', 'kwargs', 'parent_id', 'root_id', 'retries', 'eta', 'expires']);
const texts = new Set(['name', 'root_id', 'parent_id']);
const plainFields = new Set(
  'args kwargs retries eta expires result runtime exception traceback queue exchange routing_key timestamp clock'.split(' '),
);
const envelope = new Set(['uuid', 'hostname', 'type', 'local_received', 'utcoffset', 'pid']);

export function newTask(uuid: string): TaskState {
  const moments = {
    sent: null,
    received: null,
    started: null,
    succeeded: null,
    failed: null,
    retried: null,
    revoked: null,
    rejected: null,
  };
  const said = { args: null, kwargs: null, root_id: null, parent_id: null, retries: null, eta: null, expires: null };
  const end = { result: null, runtime: null, exception: null, traceback: null, queue: null, exchange: null, routing_key: null };
  return {
    uuid,
    name: null,
    state: 'PENDING',
    worker: null,
    client: null,
    timestamp: null,
    clock: 0,
    ...moments,
    ...said,
    ...end,
    more: new Map(),
  };
}

export function applyTaskEvent(task: TaskState, subject: string, event: ReceivedEvent): void {
  const known = Object.hasOwn(stateOf, subject) ? stateOf[subject] : undefined;
  if (known !== undefined) task[known[0]] = event.timestamp;
  const state = known?.[1] ?? subject.toUpperCase();
  const isEarlier = state !== 'RETRY' && task.state !== 'RETRY' && rank(state) > rank(task.state);
  const only = isEarlier && state === 'RECEIVED' ? receivedFields : null;
  for (const [field, value] of Object.entries(event)) if (only === null || only.has(field)) setField(task, field, value);
  if (!isEarlier) task.state = state;
}

function rank(state: string): number {
  return Object.hasOwn(precedence, state) ? (precedence[state] ?? unknownPrecedence) : unknownPrecedence;
}

function setField(task: TaskState, field: string, value: unknown): void {
  if (texts.has(field)) Object.assign(task, { [field]: typeof value === 'string' ? value : null });
  else if (plainFields.has(field)) Object.assign(task, { [field]: value });
  else if (!envelope.has(field)) task.more.set(field, value);
}
