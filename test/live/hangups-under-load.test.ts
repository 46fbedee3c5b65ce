/** One worker in the background is restarted in place by HUP while tasks keep coming: fifty times in a row on the embedded broker, fewer on the others. */
import t, { type Test } from 'tap';
import { allGone } from './live-worker.ts';
import { RestartScene } from './restart-scene.ts';

async function hangUp(t: Test, scene: RestartScene, times: number): Promise<void> {
  const { folder, log } = scene;
  t.match(await scene.umbel('worker', '-D', '-n', 'w1@%h', '-c', '2'), { status: 0 });
  const [pid = 0] = folder.pids();
  // What it has written is read before the first HUP: its first `ready` would pass for the one after that.
  const worker = await folder.follow('log/w1.log').ready();
  // More than the worker runs, so that some are always in reserve.
  scene.load(8);
  await log.startedByAll([pid]);
  for (let version = 1; version <= times; version += 1) {
    scene.deploy(version);
    const since = worker.now();
    process.kill(pid, 'SIGHUP');
    t.equal((await worker.event('worker.ready', () => true, since)).pid, pid);
    t.equal(await scene.call(0), version, 'new code');
  }
  t.same(folder.pids(), [pid]);
  await scene.verdict(t);
  t.same([...new Set(log.lines.map((line) => line.worker))], [pid], 'one process has done it all');
  t.equal(worker.all('worker.restart').length, times);
  // Each restart has said so as well.
  const since = worker.now();
  process.kill(pid, 'SIGTERM');
  await worker.event('worker.stopped', () => true, since);
  t.same(await allGone([pid]), []);
  t.same(folder.pids(), []);
}

t.test('HUP to a worker in the background: fifty in a row', async (t) => {
  await hangUp(t, await RestartScene.set(t, 'sqlite', ''), 50);
});

t.test('HUP to a worker in the background: on Redis', async (t) => {
  await hangUp(t, await RestartScene.set(t, 'redis', ''), 5);
});

t.test('HUP to a worker in the background: on RabbitMQ', async (t) => {
  await hangUp(t, await RestartScene.set(t, 'rabbitmq', ''), 5);
});
