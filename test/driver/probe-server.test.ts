/** Probes over a port and over a socket: statuses, HEAD, what is no GET, an answer that fails. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ProbeServer } from '../../src/driver/probe-server.ts';

t.test('one answer for each path', async (t) => {
  const server = new ProbeServer({ host: '127.0.0.1', port: 0 }, (path) => {
    if (path === '/bad') throw new Error('no answer');
    return path === '/livez' ? { status: 200, contentType: 'text/plain', body: 'ok\n' } : null;
  });
  await server.start();
  t.teardown(() => server.stop());
  const url = `http://127.0.0.1:${server.port}`;
  const live = await fetch(`${url}/livez?full=1`);
  t.equal(live.status, 200);
  t.equal(await live.text(), 'ok\n');
  t.equal((await fetch(`${url}/nothing`)).status, 404);
  t.equal((await fetch(`${url}/bad`)).status, 500);
  t.equal((await fetch(`${url}/livez`, { method: 'POST', body: 'x' })).status, 405);
  const head = await fetch(`${url}/livez`, { method: 'HEAD' });
  t.equal(head.headers.get('content-length'), '3');
  t.equal(await head.text(), '');
  await t.rejects(new ProbeServer({ host: '127.0.0.1', port: server.port ?? 0 }, () => null).start(), {
    code: 'FILE_CANNOT_CREATE',
    message: /worker\.health_listen must be free to listen on, got 127\.0\.0\.1:\d+/,
  });
});

t.test('on a socket: a file named by mistake and a socket in use stay as they are', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-probe-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'precious');
  writeFileSync(file, 'kept');
  const refused = (path: string, why: RegExp) =>
    t.rejects(new ProbeServer({ path }, () => null).start(), { code: 'FILE_CANNOT_CREATE', message: why });
  await refused(file, /is no socket/);
  t.equal(readFileSync(file, 'utf8'), 'kept');
  const path = join(folder, 'health.sock');
  const first = new ProbeServer({ path }, () => null);
  await first.start();
  t.teardown(() => first.stop());
  await refused(path, /another process listens/);
});
