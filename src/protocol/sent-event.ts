/**
 * The event `task-sent`: a task as its sender has made it, and where it went.
 *
 * Owns the fields and who is named as their sender. Source: protocol notes, events.md §2; vectors events.json.
 */
import type { EventOrigin } from './event.ts';
import { formatIsoTime } from './iso-time.ts';
import type { Message } from './message.ts';
import { readReceipt } from './task-message.ts';

export interface SentTask {
  readonly message: Message;
  /** null: only the broker knows. */
  readonly queue: string | null;
  readonly exchange: string;
  readonly routingKey: string;
}

export interface SentEvent {
  readonly fields: Readonly<Record<string, unknown>>;
  /** As the message itself says it; null: it does not. */
  readonly origin: EventOrigin | null;
}

/** null: custom headers have made the message something that is no task. */
export function sentEvent({ message, queue, exchange, routingKey }: SentTask): SentEvent | null {
  const receipt = readReceipt(message);
  if (receipt.kind !== 'task') return null;
  const { header } = receipt;
  return {
    origin: originOf(header.origin),
    fields: {
      uuid: header.id,
      root_id: header.rootId,
      parent_id: header.parentId,
      name: header.task,
      args: header.argsrepr ?? '',
      kwargs: header.kwargsrepr ?? '',
      retries: header.retries,
      eta: header.etaMs === null ? null : formatIsoTime(header.etaMs),
      expires: header.expiresMs === null ? null : formatIsoTime(header.expiresMs),
      queue,
      exchange,
      routing_key: routingKey,
    },
  };
}

/** `gen<pid>@<host>`: a pool child has no connection, but it is who sent the task. */
function originOf(origin: string | null): EventOrigin | null {
  const pid = /^gen(\d+)@./.exec(origin ?? '')?.[1];
  return origin === null || pid === undefined ? null : { hostname: origin, pid: Number(pid) };
}
