/**
 * Compression of message bodies.
 *
 * Owns the names and the `compression` header values. Celery's "gzip" is a zlib stream (RFC 1950), not a gzip file.
 * bzip2 and lzma are known and not built: using them is an error, never a guess.
 * Source: protocol notes, security-and-serialization.md §3.
 */
import { constants } from 'node:buffer';
import { messageOf, UmbelError } from '../errors.ts';

interface Method {
  readonly header: string;
  compress(body: Buffer): Buffer;
  decompress(body: Buffer): Buffer;
}

/** Loaded when the first compressed body comes: it costs every pool child 0.7 MB, and most never see one. */
const library = () => process.getBuiltinModule('node:zlib');

/** More could not become a string, and a few bytes cannot ask for all of the memory. */
const limits = { maxOutputLength: constants.MAX_STRING_LENGTH };

const zlib: Method = {
  header: 'application/x-gzip',
  compress: (body) => library().deflateSync(body),
  decompress: (body) => library().inflateSync(body, limits),
};
const brotli: Method = {
  header: 'application/x-brotli',
  compress: (body) => library().brotliCompressSync(body),
  decompress: (body) => library().brotliDecompressSync(body, limits),
};
const zstd: Method = {
  header: 'application/zstd',
  compress: (body) => library().zstdCompressSync(body),
  decompress: (body) => library().zstdDecompressSync(body, limits),
};

/** By name and by header value; null: Celery has it, this version has not. */
const methods: ReadonlyMap<string, Method | null> = new Map([
  ['zlib', zlib],
  ['gzip', zlib],
  [zlib.header, zlib],
  ['brotli', brotli],
  [brotli.header, brotli],
  ['zstd', zstd],
  ['zstandard', zstd],
  [zstd.header, zstd],
  ['bzip2', null],
  ['bzip', null],
  ['application/x-bz2', null],
  ['lzma', null],
  ['xz', null],
  ['application/x-lzma', null],
]);

const supported = 'zlib, gzip, brotli, zstd';

/** Undo what the `compression` header says. Throws NOT_SUPPORTED or MESSAGE_UNDECODABLE. */
export function decompress(body: Buffer, headerValue: string): Buffer {
  const method = methods.get(headerValue);
  if (method === undefined) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `the compression header must be one of Celery's, got "${headerValue}"`);
  }
  if (method === null) throw notSupported(headerValue);
  try {
    return method.decompress(body);
  } catch (error) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `the body is not compressed as its header says (${headerValue}): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Compress under a name of Celery's (or a header value). Throws NOT_SUPPORTED. */
export function compress(body: Buffer, name: string): { readonly body: Buffer; readonly header: string } {
  const method = methods.get(name);
  if (method === undefined || method === null) throw notSupported(name);
  return { body: method.compress(body), header: method.header };
}

function notSupported(name: string): UmbelError {
  return new UmbelError('NOT_SUPPORTED', `compression must be one of ${supported}, got "${name}"`);
}
