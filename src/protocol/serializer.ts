/**
 * Content types: which are trusted, how a body becomes a value and a value a body.
 *
 * JSON, raw bytes and text are built. yaml, msgpack, pickle and auth are known by name: accepting or refusing them works,
 * decoding and encoding them is a clear error.
 * Values of JSON content: see json.ts (bigint, NaN) and type-envelope.ts (Date, Buffer).
 * Source: protocol notes, security-and-serialization.md §1 and §2.
 */
import { isUtf8 } from 'node:buffer';
import { messageOf, UmbelError } from '../errors.ts';
import { encodeJson } from './json.ts';
import { parseJsonContent } from './type-envelope.ts';

const typeOfName: ReadonlyMap<string, string> = new Map([
  ['json', 'application/json'],
  ['yaml', 'application/x-yaml'],
  ['msgpack', 'application/x-msgpack'],
  ['pickle', 'application/x-python-serialize'],
  ['raw', 'application/data'],
  ['auth', 'application/data'],
  ['text', 'text/plain'],
]);

const nameOfType: ReadonlyMap<string, string> = new Map([
  ['application/json', 'json'],
  ['application/x-yaml', 'yaml'],
  ['application/x-msgpack', 'msgpack'],
  ['application/x-python-serialize', 'pickle'],
  ['application/data', 'raw'],
]);

/** May a body of this type be decoded? `accept` holds names or content types; two harmless types are always trusted. */
export function isAccepted(contentType: string, accept: readonly string[]): boolean {
  if (contentType === '' || contentType === 'application/data' || contentType === 'application/text') return true;
  for (const item of accept) {
    if (item === contentType || typeOfName.get(item) === contentType) return true;
  }
  return false;
}

/** The sentence with which Celery refuses a content type. */
export function refusalOf(contentType: string): string {
  return `Refusing to deserialize untrusted content of type ${nameOfType.get(contentType) ?? contentType} (${contentType})`;
}

/** Body to value. Does not ask whether the type is accepted. Throws MESSAGE_UNDECODABLE or NOT_SUPPORTED. */
export function decodeContent(body: Buffer, contentType: string, contentEncoding: string): unknown {
  switch (contentType) {
    case 'application/json':
      return decodeJsonText(decodeUtf8(body));
    case 'application/x-yaml':
    case 'application/x-msgpack':
    case 'application/x-python-serialize':
      throw new UmbelError('NOT_SUPPORTED', `decoding must be of json, raw or text content in this version, got ${contentType}`);
    default:
      return decodeText(body, contentEncoding);
  }
}

/** Throws MESSAGE_UNDECODABLE. */
export function decodeJsonText(text: string): unknown {
  try {
    return parseJsonContent(text);
  } catch (error) {
    if (error instanceof UmbelError) throw error;
    throw new UmbelError('MESSAGE_UNDECODABLE', `the body must be JSON text as its content type says: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Value to body. Throws TypeError when the value does not fit the serializer, NOT_SUPPORTED when the serializer is not built. */
export function encodeContent(value: unknown, serializer: string): { body: Buffer; contentType: string; contentEncoding: string } {
  switch (serializer) {
    case 'json':
    case 'application/json':
      return { body: Buffer.from(encodeJson(value)), contentType: 'application/json', contentEncoding: 'utf-8' };
    case 'raw':
    case 'application/data':
      if (typeof value === 'string') return { body: Buffer.from(value), contentType: 'application/data', contentEncoding: 'utf-8' };
      if (!(value instanceof Uint8Array)) throw new TypeError('the raw serializer takes bytes or text');
      return {
        body: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
        contentType: 'application/data',
        contentEncoding: 'binary',
      };
    case 'text':
    case 'text/plain':
      if (typeof value !== 'string') throw new TypeError('the text serializer takes text');
      return { body: Buffer.from(value), contentType: 'text/plain', contentEncoding: 'utf-8' };
    default:
      throw new UmbelError('NOT_SUPPORTED', `a serializer must be json, raw or text in this version, got "${serializer}"`);
  }
}

function decodeUtf8(body: Buffer): string {
  if (!isUtf8(body)) throw new UmbelError('MESSAGE_UNDECODABLE', `the body must be UTF-8 text, got ${body.length} bytes that are not`);
  return body.toString('utf8');
}

/** Bytes stay bytes under the encodings that say so. */
function decodeText(body: Buffer, contentEncoding: string): unknown {
  const encoding = contentEncoding.toLowerCase();
  if (encoding === 'binary' || encoding === 'ascii-8bit') return body;
  if (encoding === '' || encoding === 'utf-8' || encoding === 'utf8') return decodeUtf8(body);
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body);
  } catch (error) {
    throw new UmbelError(
      'MESSAGE_UNDECODABLE',
      `the body must be text in its content encoding, got "${contentEncoding}": ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
