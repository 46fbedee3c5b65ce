/** Redis out of memory for longer than the lease of a worker: the worker stays, and runs what comes afterwards. */
import t, { type Test } from 'tap';
import { signOfLifeScript } from '../../src/broker/redis/lease-scripts.ts';
import { monitor } from '../redis-monitor.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';

const leaseSeconds = 1.5;

void t.test('an idle worker whose signs of life were refused until its lease was over', async (t: Test) => {
  const server = await RedisServer.start(t);
  const url = server.url();
  const folder = new LiveFolder(t);
  const module = folder.write(
    'tasks.mjs',
    "import { task } from 'umbel';\nexport const add = task({ name: 'tasks.add' }, (a, b) => a + b);\n",
  );
  const env = { UMBEL_REDIS_LEASE_SECONDS: String(leaseSeconds) };
  const worker = await folder.worker(['-A', module, '-b', url, '-c', '1', '--result-backend', 'disabled'], { env }).ready();
  const call = (): ReturnType<LiveFolder['umbel']> =>
    folder.umbel(['call', 'tasks.add', '-a', '[1, 1]', '-b', url, '--result-backend', 'disabled']);
  const commands = await monitor(t, server);
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  // It has looked for messages, was told that it has no lease, and is refused a new one.
  await commands.until((line) => line.includes(signOfLifeScript.sha) && / "1\.5" "1" "[01]"$/.test(line));
  t.match(await call(), { status: 69, stderr: /has used up maxmemory/ }, 'who sends is told');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.match(await call(), { status: 0 });
  await worker.event('task.succeeded');
  t.match(await worker.stop(), { code: 0 });
});
