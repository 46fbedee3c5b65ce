/** Entries of `unacked` that wait for their time, as messages. */
import { decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { ScheduledMessage } from '../broker.ts';
import type { DelayedTag } from './delayed-tags.ts';

/** `entries` in the order of `tags`; those that are gone by now, or cannot be read, are left out. */
export function scheduledMessages(tags: readonly DelayedTag[], entries: readonly unknown[]): ScheduledMessage[] {
  return tags.flatMap(({ dueAtMs, from }, index) => {
    const entry = entries[index];
    if (typeof entry !== 'string') return [];
    try {
      const { message, exchange, routingKey } = decodeEnvelope(from.envelopeOf(entry));
      return [{ ...message, exchange, routingKey, dueAtMs }];
    } catch {
      // It is said when it is due.
      return [];
    }
  });
}
