/**
 * RabbitMQ is away, and tasks that have ended wait for it with what follows from them: they are not said to run, and a worker that stops then says
 * what becomes of each, and what was not acknowledged comes again. A stop does not wait for a server that stands still.
 */
import t from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { AmqpScene } from './amqp-scene.ts';
import type { LogEvent } from './live-worker.ts';

t.setTimeout(300_000);

void t.test('a stop while RabbitMQ is away', async (t) => {
  t.setTimeout(280_000);
  const server = await RabbitmqServer.start(t);
  const stops = [
    { signals: ['SIGTERM', 'SIGTERM'], code: 0 },
    { signals: ['SIGQUIT'], code: 1 },
  ] as const;
  for (const { signals, code } of stops) {
    await t.test(signals.join(' and '), async (t) => {
      const scene = await AmqpScene.open(t, server, signals.join('-'));
      const { folder } = scene;
      const worker = await scene.start(['-c', '3'], { UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock' }).ready();
      const call = (task: string, id: string): Promise<unknown> =>
        taskHandle<[string], string>(`tasks.${task}`).applyAsync({
          args: [folder.file(id)],
          taskId: id,
          link: taskHandle<[string, string], string>('tasks.add').s('-then').set({ queue: scene.queue }),
        });
      await call('late', 'late-ended');
      await call('early', 'early-ended');
      await call('late', 'runs-on');
      await worker.count('task.started', 3);
      await eventually(t, 'the early one is acknowledged', async () => String(await scene.messages()) === '0,2');
      await server.stop();
      await worker.event('broker.lost');
      scene.open('late-ended', 'early-ended');
      await worker.count('task.follow-up-delayed', 2);

      const ask = async (...words: readonly string[]): Promise<string> =>
        (await folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), ...words])).stdout;
      const active = await ask('active');
      t.match(active, /'runs-on'/);
      t.notMatch(active, /-ended/, 'what has ended does not run');
      t.match(await ask('query_task', 'late-ended'), /"ready"/);
      t.match(await ask('query_task', 'runs-on'), /"active"/);
      t.match(await ask('why'), /what runs goes on: tasks\.late\[runs-on\] .*; 2 tasks that have ended wait for it\.$/m);

      scene.open('runs-on');
      await worker.count('task.follow-up-delayed', 3);
      const since = worker.now();
      for (const signal of signals) worker.kill(signal);
      t.strictSame(await worker.end(60_000), { code, signal: null });
      const said = worker.events.slice(since);
      t.strictSame(
        said.filter(({ level }) => level === 'critical'),
        [],
      );
      const of = (event: string): readonly LogEvent[] => said.filter((line) => line.event === event);
      t.strictSame(
        of('task.unrecorded')
          .map(({ taskId, level, message }) => [taskId, level, /delivered again|lost/.exec(message)?.[0]])
          .sort(),
        [
          ['early-ended', 'error', 'lost'],
          ['late-ended', 'warning', 'delivered again'],
          ['runs-on', 'warning', 'delivered again'],
        ],
      );
      t.strictSame([of('task.ack-stale').length, of('task.requeue-failed').length, of('worker.stopped').length], [0, 0, 1], 'said once');

      await server.start();
      const next = await scene.start(['-c', '3']).ready();
      const again = await next.count('task.succeeded', 4);
      t.strictSame(
        again.map(({ message }) => /: '(.*)'$/.exec(message)?.[1]).sort(),
        ['redelivered', 'redelivered', 'redelivered-then', 'redelivered-then'],
        'and what follows from them has run',
      );
      await eventually(t, 'all is acknowledged', async () => String(await scene.messages()) === '0,0');
      t.strictSame(await next.stop(), { code: 0, signal: null });
    });
  }

  await t.test('it stands still, and the connection does not know', async (t) => {
    const scene = await AmqpScene.open(t, server, 'standstill');
    const worker = await scene.start(['-c', '1']).ready();
    const result = await scene.call('late', 'runs-on');
    await worker.count('task.started', 1);
    server.pause();
    t.teardown(() => server.resume());
    worker.kill('SIGTERM');
    await worker.event('worker.stop');
    scene.open('runs-on');
    t.strictSame(await worker.end(60_000), { code: 0, signal: null });
    t.match(
      (await worker.event('amqp.lost')).message,
      /the worker stops, and for 10s the broker has not answered that it delivers no more/,
    );
    server.resume();
    const next = await scene.start(['-c', '1']).ready();
    // The acknowledgement may have been on its way.
    await eventually(t, 'it is acknowledged, then or when it came again', async () => String(await scene.messages()) === '0,0');
    t.match(await result.get({ timeoutMs: 20_000 }), /^(first|redelivered)$/);
    t.strictSame(await next.stop(), { code: 0, signal: null });
  });
});
