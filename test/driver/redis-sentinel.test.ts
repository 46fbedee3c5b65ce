/** Sentinel finds the master, and finds the new one after a failover. */

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { ended } from '../child-end.ts';
import { RedisServer, redisProgram, redisVersion } from '../redis-server.ts';
import { endsWithUs, freePort } from '../test-server.ts';
import { link } from './redis-link.ts';

const { name, major, minor } = redisVersion();
const hasUsers = name !== 'redis' || major > 6 || (major === 6 && minor >= 2);

async function startSentinel(t: Test, master: RedisServer, password: string): Promise<number> {
  const port = await freePort();
  const path = join(master.folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    // Sentinels have users since 6.2.
    ...(hasUsers ? ['user watcher on >another ~* &* +@all'] : []),
    `requirepass ${password}`,
    `sentinel monitor main ${master.host} ${master.port} 1`,
    // A master that a busy machine keeps from answering is not down.
    'sentinel down-after-milliseconds main 2000',
    'sentinel failover-timeout main 2000',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  const child: ChildProcess = spawn(redisProgram, [path, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] });
  endsWithUs(child);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended(child);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the sentinel ended')));
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => line.includes('+monitor master') && resolve());
  });
  return port;
}

const silent = (why: RegExp) => ({ name: 'RedisFailure', message: new RegExp(`failed: no sentinel names a master: .*${why.source}`) });

t.test('through sentinels', async (t) => {
  const master = await RedisServer.start(t);
  const replica = await RedisServer.start(t, { config: { replicaof: `${master.host} ${master.port}` } });
  const port = await startSentinel(t, master, 'watch');
  const absent = await freePort();
  const url = `sentinel://127.0.0.1:${absent};sentinel://127.0.0.1:${port}/3`;
  await t.rejects(link(t, url).connection.acquire(), { name: 'RedisFailure', message: /master_name/ });
  await t.rejects(link(t, url, { masterName: 'main' }).connection.acquire(), silent(/NOAUTH/), 'the sentinels want a password');
  await t.rejects(link(t, url, { masterName: 'nobody', sentinelPassword: 'watch' }).connection.acquire(), silent(/No such master/));

  if (hasUsers) {
    const user = link(t, url, { masterName: 'main', sentinelUsername: 'watcher', sentinelPassword: 'another' }).connection;
    await user.acquire();
    t.equal(await user.call('PING'), 'PONG', 'a user of the sentinels’ own');
    await user.release();
  }

  const { connection, state } = link(t, url, { masterName: 'main', sentinelPassword: 'watch' });
  await connection.acquire();
  await connection.call('SET', 'x', '1');
  t.equal(master.cli('-n', '3', 'GET', 'x'), '1');
  // One that is known to the sentinel and has everything can take over.
  while (!master.cli('INFO', 'replication').includes('state=online')) await connection.call('PING');
  const askSentinel = (): string => {
    try {
      return master.cli('-p', String(port), '-a', 'watch', '--no-auth-warning', 'SENTINEL', 'REPLICAS', 'main');
    } catch (error) {
      return String(error);
    }
  };
  while (!askSentinel().includes(String(replica.port))) await connection.call('PING');
  const lost = state('lost');
  await master.kill();
  await lost;
  const kept = connection.commit([['SET', 'kept', 'yes']], { keep: true });
  t.strictSame(await kept, ['OK'], 'sent to the new master');
  t.equal(replica.cli('-n', '3', 'GET', 'kept'), 'yes');
});
