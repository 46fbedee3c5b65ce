/** The server of a test ends with the test, also when the test process is killed; its port is its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import t from 'tap';
import { allGone } from './live/live-worker.ts';
import { eventually } from './pool/eventually.ts';
import { freePort } from './test-server.ts';

t.test('a test process that is killed leaves no server behind', async (t) => {
  const script = `
    import { RedisServer } from ${JSON.stringify(new URL('./redis-server.ts', import.meta.url).pathname)};
    const server = await RedisServer.start({ teardown() {} });
    console.log(server.pid, server.folder);
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const [pid, folder] = [Number(line.split(' ')[0]), line.split(' ')[1]];
  t.ok(pid > 0);
  t.ok(existsSync(folder));
  child.kill('SIGKILL');
  t.same(await allGone([pid]), []);
  await eventually(t, 'its folder is deleted', () => !existsSync(folder));
});

t.test('ports of two test processes, chosen and not used yet', async (t) => {
  // So many of each that of ports left to chance some would be the same.
  const count = 500;
  const script = `
    import { freePort } from ${JSON.stringify(new URL('./test-server.ts', import.meta.url).pathname)};
    const ports = [];
    while (ports.length < ${count}) ports.push(await freePort());
    console.log(ports.join(' '));
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const theirs = once(createInterface({ input: child.stdout }), 'line');
  const ours: number[] = [];
  while (ours.length < count) ours.push(await freePort());
  const [line] = await theirs;
  t.equal(new Set([...ours, ...line.split(' ').map(Number)]).size, 2 * count);
});
