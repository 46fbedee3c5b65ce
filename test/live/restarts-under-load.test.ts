/**
 * Five nodes in the background are restarted one after the other by `umbel multi restart --rolling` while tasks keep coming, on each broker.
 * One that is restarted in place: hangups-under-load.test.ts.
 */
import t, { type Test } from 'tap';
import { allGone, isRunning } from './live-worker.ts';
import { RestartScene } from './restart-scene.ts';

const names = ['w1', 'w2', 'w3', 'w4', 'w5'];
const declared = names.map((name) => `[node.${name}]\n`).join('');

async function roll(t: Test, scene: RestartScene, nodes: readonly string[]): Promise<void> {
  const { folder, log } = scene;
  const multi = (command: string, ...options: readonly string[]) => scene.umbel('multi', command, ...nodes, ...options);
  t.match(await multi('start'), { status: 0 });
  const first = folder.pids();
  t.equal(first.length, names.length);
  // More than they reserve together.
  scene.load(40);
  await log.startedByAll(first);
  const rolled = await multi('restart', '--rolling');
  t.equal(rolled.status, 0, rolled.stderr);
  t.equal(rolled.stdout.match(/> Restarting node .*: OK/g)?.length, names.length, rolled.stdout);
  const second = folder.pids();
  t.same(
    second.filter((pid) => first.includes(pid) || !isRunning(pid)),
    [],
    'all are others, and live',
  );
  t.same(first.filter(isRunning), []);
  await log.startedByAll(second);
  await scene.verdict(t);
  t.match(await multi('stopwait'), { status: 0 });
  t.same(folder.pids(), []);
  t.same(await allGone(second), []);
}

t.test('five nodes are rolled: on the embedded broker, those of the configuration', async (t) => {
  await roll(t, await RestartScene.set(t, 'sqlite', declared), []);
});

t.test('five nodes are rolled: on Redis, named on the command line', async (t) => {
  await roll(t, await RestartScene.set(t, 'redis', ''), names);
});

t.test('five nodes are rolled: on RabbitMQ, those of the configuration', async (t) => {
  await roll(t, await RestartScene.set(t, 'rabbitmq', declared), []);
});
