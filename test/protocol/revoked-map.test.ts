import t from 'tap';
import { readRevokedMap } from '../../src/protocol/revoked-map.ts';

t.test('what others send', async (t) => {
  t.strictSame(readRevokedMap(['a', 5, 'b']), [
    { id: 'a', atSeconds: null },
    { id: 'b', atSeconds: null },
  ]);
  t.strictSame(readRevokedMap({ a: 17.5, b: ['x', 'b'], c: null, d: [12345.5, 'd'] }), [
    { id: 'a', atSeconds: 17.5 },
    { id: 'b', atSeconds: null },
    { id: 'c', atSeconds: null },
    { id: 'd', atSeconds: 12345.5 },
  ]);
  for (const nothing of [null, undefined, 'a', 5]) t.strictSame(readRevokedMap(nothing), []);
});
