/**
 * The `{"__type__": …, "__value__": …}` objects in which kombu ≥ 5.3 wraps values JSON has no form for.
 *
 * Read only: what we write is plain JSON, which every version understands. datetime becomes a Date (its microseconds are cut
 * to milliseconds), bytes and base64 a Buffer; date, time, decimal and uuid stay text, exactly as kombu ≤ 5.2 sends them.
 * Source: protocol notes, security-and-serialization.md §2.
 */
import { UmbelError } from '../errors.ts';
import { parseIsoTime } from './iso-time.ts';
import { parseJson } from './json.ts';

/** JSON text to a value, envelopes opened. Throws SyntaxError, or MESSAGE_UNDECODABLE for an unknown or malformed envelope. */
export function parseJsonContent(text: string): unknown {
  const value = parseJson(text);
  return text.includes('"__type__"') ? openEnvelopes(value) : value;
}

function openEnvelopes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(openEnvelopes);
  const entries = Object.entries(value);
  const record = value as Record<string, unknown>;
  if (entries.length === 2 && '__type__' in record && '__value__' in record) return openOne(record.__type__, record.__value__);
  // Rebuilt by entries, so that a key named __proto__ stays a key.
  return Object.fromEntries(entries.map(([key, item]) => [key, openEnvelopes(item)]));
}

function openOne(type: unknown, value: unknown): unknown {
  switch (type) {
    case 'datetime': {
      const unixMs = typeof value === 'string' ? parseIsoTime(value) : null;
      if (unixMs !== null) return new Date(Math.floor(unixMs));
      break;
    }
    case 'date':
    case 'time':
    case 'decimal':
      if (typeof value === 'string') return value;
      break;
    case 'uuid': {
      const hex = typeof value === 'object' && value !== null && 'hex' in value ? value.hex : null;
      if (typeof hex === 'string' && /^[0-9a-f]{32}$/i.test(hex)) return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
      break;
    }
    case 'bytes':
      if (typeof value === 'string') return Buffer.from(value, 'utf8');
      break;
    case 'base64':
      if (typeof value === 'string') return Buffer.from(value, 'base64');
      break;
    default:
      throw new UmbelError(
        'MESSAGE_UNDECODABLE',
        `__type__ must be one that kombu defines, got ${JSON.stringify(type)} in the JSON content`,
      );
  }
  throw new UmbelError('MESSAGE_UNDECODABLE', `__value__ does not fit __type__ ${type} in the JSON content, got ${JSON.stringify(value)}`);
}
