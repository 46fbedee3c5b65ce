/** A port that is taken is passed over; where all are, that is the answer. */
import { once } from 'node:events';
import inspector from 'node:inspector';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { openInspector } from '../../src/std/open-inspector.ts';

t.test('the first free port', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port: taken } = server.address() as AddressInfo;
  const port = openInspector(taken);
  t.teardown(() => inspector.close());
  t.ok(port !== null && port > taken, `${port} behind ${taken}`);
  t.match(inspector.url(), `ws://127.0.0.1:${port}/`);
});
