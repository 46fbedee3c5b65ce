import t from 'tap';
import { listenPlace, pathOrDisabled, readListenPlace } from '../../src/config/listen-kind.ts';

t.test('loopback with a port, or the path of a socket', async (t) => {
  t.same(readListenPlace(':9809'), { host: '127.0.0.1', port: 9809 });
  t.same(readListenPlace('localhost:80'), { host: '127.0.0.1', port: 80 });
  t.same(readListenPlace('[::1]:80'), { host: '::1', port: 80 });
  t.same(readListenPlace('/run/umbel/health.sock'), { path: '/run/umbel/health.sock' });
  const kind = listenPlace();
  t.equal(kind.readText(':9809'), ':9809');
  for (const bad of ['0.0.0.0:80', '80', 'example.com:80', '127.0.0.1:70000', 'health.sock', 9809])
    t.match(kind.readValue(bad), { reason: /must be a loopback address/ }, String(bad));
});

t.test('a path or disabled', async (t) => {
  const kind = pathOrDisabled();
  t.equal(kind.resolve?.('disabled', '/srv'), 'disabled');
  t.equal(kind.resolve?.('x.sock', '/srv'), '/srv/x.sock');
});
