import { deflateSync } from 'node:zlib';
import t from 'tap';
import { compress, decompress } from '../../src/protocol/compression.ts';

const body = Buffer.from(JSON.stringify(['z'.repeat(2000)]));

t.test('round trips under Celery names', async (t) => {
  const names: [string, string][] = [
    ['zlib', 'application/x-gzip'],
    ['gzip', 'application/x-gzip'],
    ['brotli', 'application/x-brotli'],
    ['zstd', 'application/zstd'],
    ['zstandard', 'application/zstd'],
  ];
  for (const [name, header] of names) {
    const compressed = compress(body, name);
    t.equal(compressed.header, header);
    t.ok(compressed.body.length < body.length / 10, `${name} makes it smaller`);
    t.strictSame(decompress(compressed.body, header), body);
  }
  t.strictSame(decompress(deflateSync(body), 'application/x-gzip'), body, 'a zlib stream, not a gzip file');
});

t.test('bad input', async (t) => {
  for (const header of ['application/x-gzip', 'application/x-brotli', 'application/zstd']) {
    t.throws(() => decompress(body, header), { code: 'MESSAGE_UNDECODABLE', message: new RegExp(header) });
    const cut = compress(body, header).body.subarray(0, 12);
    t.throws(() => decompress(cut, header), { code: 'MESSAGE_UNDECODABLE' }, `${header} cut short`);
  }
  t.throws(() => decompress(body, 'application/x-unheard'), { code: 'MESSAGE_UNDECODABLE' });
  for (const name of ['bzip2', 'lzma', 'xz']) t.throws(() => compress(body, name), { code: 'NOT_SUPPORTED' });
  for (const header of ['application/x-bz2', 'application/x-lzma']) t.throws(() => decompress(body, header), { code: 'NOT_SUPPORTED' });
  t.throws(() => compress(body, 'nonsense'), { code: 'NOT_SUPPORTED' });
});
