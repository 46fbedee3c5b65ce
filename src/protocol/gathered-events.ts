/**
 * Events of tasks that go out in one message: three for every task, and mostly nobody listens.
 *
 * Owns what is to be known of each when somebody asks for the text. That is in columns: an object for each, made as it happens, is several times the work.
 * Source: protocol notes, events.md §1 to §3.
 */
import type { EventOrigin } from './event.ts';
import { formatIsoTime } from './iso-time.ts';
import type { Message } from './message.ts';
import type { TaskHeader } from './task-message.ts';

/** What an event of a task may have beside what all have. */
export type PlainFields = Readonly<Record<string, string | number | boolean | null>>;

const nothing = Buffer.alloc(0);

/** What an event is about: the task that was received, the id of one that started or succeeded, all fields of another. */
type Subject = TaskHeader | string | PlainFields;

const received = 'task-received';
const started = 'task-started';
const succeeded = 'task-succeeded';

export class GatheredEvents {
  readonly origin: EventOrigin;
  /** Hours west of UTC. */
  readonly #utcoffset: number;
  readonly #types: string[] = [];
  readonly #subjects: Subject[] = [];
  readonly #clocks: number[] = [];
  readonly #timesMs: number[] = [];
  /** Of those that succeeded, in their order. */
  readonly #results: string[] = [];
  readonly #runtimes: number[] = [];

  constructor(origin: EventOrigin, utcoffset: number) {
    this.origin = origin;
    this.#utcoffset = utcoffset;
  }

  get size(): number {
    return this.#types.length;
  }

  // `clock` is of the logical clock, `nowMs` Unix milliseconds.

  received(task: TaskHeader, clock: number, nowMs: number): void {
    this.#add(received, task, clock, nowMs);
  }

  started(taskId: string, clock: number, nowMs: number): void {
    this.#add(started, taskId, clock, nowMs);
  }

  /** `result` as text. */
  succeeded(taskId: string, result: string, runtimeSeconds: number, clock: number, nowMs: number): void {
    this.#add(succeeded, taskId, clock, nowMs);
    this.#results.push(result);
    this.#runtimes.push(runtimeSeconds);
  }

  /** Of any other type. */
  other(type: string, fields: PlainFields, clock: number, nowMs: number): void {
    this.#add(type, fields, clock, nowMs);
  }

  #add(type: string, subject: Subject, clock: number, nowMs: number): void {
    this.#types.push(type);
    this.#subjects.push(subject);
    this.#clocks.push(clock);
    this.#timesMs.push(nowMs);
  }

  /** In their order, with their fields in Celery's. */
  list(): PlainFields[] {
    const { hostname, pid } = this.origin;
    const utcoffset = this.#utcoffset;
    let successes = 0;
    return this.#types.map((type, at): PlainFields => {
      const subject = this.#subjects[at] as Subject;
      const clock = this.#clocks[at] as number;
      const timestamp = (this.#timesMs[at] as number) / 1000;
      // The frequent ones in one piece each: put together from two they take longer than their text.
      if (type === started) return { hostname, utcoffset, pid, clock, uuid: subject as string, timestamp, type };
      if (type === succeeded) {
        const result = this.#results[successes] as string;
        const runtime = this.#runtimes[successes] as number;
        successes += 1;
        return { hostname, utcoffset, pid, clock, uuid: subject as string, result, runtime, timestamp, type };
      }
      if (type !== received) return { hostname, utcoffset, pid, clock, ...(subject as PlainFields), timestamp, type };
      const task = subject as TaskHeader;
      return {
        hostname,
        utcoffset,
        pid,
        clock,
        uuid: task.id,
        name: task.shadow ?? task.task,
        args: task.argsrepr ?? '',
        kwargs: task.kwargsrepr ?? '',
        root_id: task.rootId,
        parent_id: task.parentId,
        retries: task.retries,
        eta: isoTime(task.etaMs),
        expires: isoTime(task.expiresMs),
        timestamp,
        type,
      };
    });
  }
}

/**
 * It becomes text when a broker asks for its body: where nobody listens, none may. A class, because the getter of an object literal is kept by a hidden class
 * of its own, and all events with it, until the next full collection.
 */
export class EventsMessage implements Message {
  readonly properties = { contentType: 'application/json', contentEncoding: 'utf-8', deliveryMode: 1, priority: 0 } as const;
  readonly headers: { readonly hostname: string };
  #events: GatheredEvents | null;
  #body = nothing;

  constructor(events: GatheredEvents) {
    this.headers = { hostname: events.origin.hostname };
    this.#events = events;
  }

  get body(): Buffer {
    // Let go of as soon as it is text.
    if (this.#events !== null) this.#body = Buffer.from(JSON.stringify(this.#events.list()));
    this.#events = null;
    return this.#body;
  }
}

function isoTime(unixMs: number | null): string | null {
  return unixMs === null ? null : formatIsoTime(unixMs);
}
