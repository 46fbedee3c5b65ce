/**
 * The value of a message in `unacked`: a JSON array of the envelope, the exchange and the routing key.
 *
 * Ours are made by the reserving script, always with exchange '' and the queue's name; kombu's have whatever they were sent with.
 */
import { parseJson } from '../../protocol/json.ts';

export interface UnackedEntry {
  readonly envelope: string;
  readonly exchange: string;
  readonly routingKey: string;
}

/** What stands behind the envelope in an entry of ours. */
export function suffixOf(queue: string): Buffer {
  return Buffer.from(`,"",${JSON.stringify(queue)}]`);
}

/** [envelope, exchange, routing key] with two JSON strings at the end; kombu puts a space behind its commas. */
const tail = /,\s*("(?:[^"\\]|\\.)*"|null)\s*,\s*("(?:[^"\\]|\\.)*"|null)\s*\]\s*$/;
/** No name is longer. */
const longestTail = 4096;

/** null: not an entry. The envelope is cut out as it stands, not parsed. */
export function readEntry(text: string): UnackedEntry | null {
  const from = Math.max(0, text.length - longestTail);
  const match = tail.exec(text.slice(from));
  if (match === null || !text.startsWith('[')) return null;
  const exchange = nameOf(match[1]);
  const routingKey = nameOf(match[2]);
  if (exchange === null || routingKey === null) return null;
  return { envelope: text.slice(1, from + match.index), exchange, routingKey };
}

function nameOf(json: string | undefined): string | null {
  try {
    const name = parseJson(json ?? '');
    return typeof name === 'string' ? name : name === null ? '' : null;
  } catch {
    return null;
  }
}
