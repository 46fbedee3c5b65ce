import t from 'tap';
import { customHeaders } from '../../src/child/custom-headers.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';

t.test('what the caller added, without what the protocol and the broker put there', (t) => {
  const mine = { 'x-trace': 'abc', tenant: 5, nested: { a: 1 } };
  const { headers } = encodeTask({
    task: 't',
    id: 'i',
    args: [],
    kwargs: {},
    origin: 'o',
    ignoreResult: true,
    compression: 'gzip',
    headers: mine,
  });
  const delivered = { ...headers, 'x-death': [{ count: 1 }], 'x-first-death-queue': 'q', 'x-last-death-reason': 'r', redelivered: true };
  t.same(customHeaders(delivered), mine);
  t.same(customHeaders(headers), mine, 'every header that we send ourselves is known');
  t.same(customHeaders(null), {});
  t.same(customHeaders({}), {});
  t.end();
});
