/** A worker whose connection breaks in the middle of its start, on a real Redis: it comes up all the same. */
import t from 'tap';
import { signOfLifeScript } from '../../src/broker/redis/lease-scripts.ts';
import { RedisProxy } from '../redis-proxy.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';

void t.test('connections that break while queues are declared and consuming begins', async (t) => {
  t.setTimeout(60_000);
  const server = await RedisServer.start(t);
  const proxy = await RedisProxy.start(t, server);
  const folder = new LiveFolder(t);
  const breaksAt = [
    (words: readonly string[]) => words[0]?.toUpperCase() === 'SADD',
    (words: readonly string[]) => words[1] === signOfLifeScript.sha,
  ];
  proxy.rewrite = (words) => {
    if (breaksAt[0]?.(words) === true) {
      breaksAt.shift();
      server.cli('CLIENT', 'KILL', 'TYPE', 'normal');
    }
    return words;
  };
  const module = folder.write('tasks.ts', liveTasks);
  const worker = folder.worker(['-A', module, '-b', proxy.url(), '-c', '1']);
  await worker.ready();
  t.same(breaksAt, [], 'both times it broke');
  t.equal(worker.all('broker.lost').length, 2);
  t.same(await worker.stop(), { code: 0, signal: null });
});
