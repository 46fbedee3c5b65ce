/**
 * One reservation of messages from lists in Redis: the call that makes it, and what it may have taken when nobody has heard how it ended.
 *
 * Holds nothing. When to reserve, and what becomes of the reply, is subscription.ts.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import type { DeferredTag } from './delayed-tags.ts';
import type { KeyLayout } from './key-layout.ts';
import type { QueueList } from './queue-list.ts';
import type { QueueOrder } from './queue-order.ts';
import { reserveScript } from './reserve-script.ts';

/** Tags are `<leaseId>.<sequence number>`. The middle three are known when it is sent. */
export interface Reservation {
  readonly leaseId: string;
  /** Sequence number of its first tag. */
  first: number;
  room: number;
  lists: readonly QueueList[];
  readonly generation: number;
}

/** From all lists of `order`, or from those of one queue: 64 lists cost both sides more than the rest of it. */
export function reserveCommand(
  { leaseId, first, room, lists }: Reservation,
  { lists: all, names, queues, strategy }: QueueOrder,
  layout: KeyLayout,
  server: RedisConnection['server'],
): RedisCommand {
  const isAll = lists === all;
  const from = isAll ? { queues: queues.length, steps: layout.steps.length } : { queues: 1, steps: lists.length };
  const keys = [layout.unacked, layout.unackedIndex, layout.workers];
  for (const list of lists) keys.push(list.key);
  for (let at = 0; at < from.queues; at++) keys.push(lists[at]?.rejectedKey ?? '');
  const share = strategy === 'round_robin' && from.queues > 1 ? '1' : '0';
  const countable = hasPopCount(server) ? '1' : '0';
  const fromNames = isAll ? names : [JSON.stringify(lists[0]?.queue)];
  return evalCommand(reserveScript, keys, [leaseId, first, room, from.queues, from.steps, share, countable, ...fromNames]);
}

/** RPOP takes a count since 6.2. */
function hasPopCount(server: RedisConnection['server']): boolean {
  const { majorVersion, minorVersion } = server ?? { majorVersion: null, minorVersion: null };
  return majorVersion !== null && (majorVersion > 6 || (majorVersion === 6 && (minorVersion ?? 0) >= 2));
}

/** Whatever it took is in `unacked` under these tags. */
export function tagsOf({ leaseId, first, room, lists: [from] }: Reservation): DeferredTag[] {
  if (from === undefined) return [];
  return Array.from({ length: room }, (_, at) => ({ tag: `${leaseId}.${first + at}`, from }));
}

/** A reservation without a reply does not say from which list each message came (`guess`); its entry in `unacked` does. */
export function listOfEntry(entry: string, guess: QueueList, { lists }: QueueOrder, layout: KeyLayout): QueueList {
  if (lists.length === 1) return guess;
  for (const list of lists) {
    if (!entry.endsWith(`,"",${JSON.stringify(list.queue)}]`)) continue;
    const priority = /"priority": ?(\d+)[^{}]*\}\}$/.exec(list.envelopeOf(entry).slice(-400))?.[1];
    const key = layout.list(list.queue, layout.stepOf(Number(priority ?? 0)));
    return lists.find((one) => one.key === key) ?? list;
  }
  return guess;
}
