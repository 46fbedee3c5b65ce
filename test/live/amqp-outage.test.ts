/**
 * A worker through everything that can happen to its connection to RabbitMQ: what runs is finished and its result kept, nothing is started a second time
 * beside itself, what had not begun is forgotten and comes again, and consuming goes on by itself within five seconds of the broker being back.
 */
import t, { type Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import { AmqpScene } from './amqp-scene.ts';
import type { LiveWorker } from './live-worker.ts';

const withinMs = 5000;
const timeoutMs = 30_000;
const get = { timeoutMs };

interface Outage {
  /** It is over when it resolves, or when `mend` is called. */
  readonly strike: (scene: AmqpScene) => Promise<void>;
  readonly mend?: () => Promise<void>;
  readonly url?: string;
  /** The connection stays: a channel alone ends. */
  readonly channelOnly?: RegExp;
}

/** Whatever it is, the worker goes through it in the same way. */
async function survives(t: Test, server: RabbitmqServer, { strike, mend, url, channelOnly }: Outage): Promise<void> {
  const scene = await AmqpScene.open(t, server, t.name.replaceAll(' ', '-'));
  // Given up after two to three of them, and not when a busy machine stands still for a moment: each loss is counted here.
  const env = { UMBEL_BROKER_HEARTBEAT: '2', UMBEL_BROKER_CONNECTION_TIMEOUT: '1', UMBEL_WORKER_PREFETCH_MULTIPLIER: '2' };
  const worker = await scene.start(['-c', '3'], env, url).ready();
  const running = [await scene.call('late', 'runs-on'), await scene.call('late', 'ends-meanwhile'), await scene.call('early', 'early')];
  await worker.count('task.started', 3);
  // An acknowledgement that is on its way would be lost with the connection. The server has written this one down when it confirms what comes next.
  await eventually(t, 'the early one is acknowledged', async () => String(await scene.messages()) === '0,2');
  const reserved = [await scene.call('late', 'reserved-1'), await scene.call('late', 'reserved-2')];
  await worker.count('task.received', 5);

  const before = channelOnly === undefined ? undefined : await scene.consumer();
  const since = worker.now();
  await strike(scene);
  const lost = await worker.event('consumer.held-lost', undefined, since);
  t.match(lost, { level: 'warning', running: 2, forgotten: 2 });
  if (mend !== undefined) {
    // Gone for the broker: its result is kept all the same, and so is what was acknowledged before it began.
    scene.open('ends-meanwhile', 'early');
    t.strictSame([await running[1]!.get(get), await running[2]!.get(get)], ['first', 'first']);
    await worker.event('task.ack-stale', ({ taskId }) => taskId === 'ends-meanwhile', since);
    t.strictSame(worker.all('broker.consuming'), []);
    await mend();
  }
  const backAtMs = performance.now();
  await worker.event('broker.consuming', undefined, since);
  t.ok(performance.now() - backAtMs < withinMs, `consuming ${Math.round(performance.now() - backAtMs)} ms after the broker was back`);
  await worker.count('task.redelivered', 2, undefined, since);
  if (mend === undefined) {
    scene.open('ends-meanwhile', 'early');
    t.strictSame([await running[1]!.get(get), await running[2]!.get(get)], ['first', 'first']);
  }
  scene.open('reserved-1', 'reserved-2');
  for (const result of reserved) t.equal(await result.get(get), 'redelivered', 'while the first of all runs on');
  scene.open('runs-on');
  t.equal(await running[0]!.get(get), 'first');
  await eventually(t, 'all is acknowledged', async () => String(await scene.messages()) === '0,0');
  t.same(
    [...scene.starts()].sort(),
    [
      ['early', 'first'],
      ['ends-meanwhile', 'first'],
      ['reserved-1', 'redelivered'],
      ['reserved-2', 'redelivered'],
      ['runs-on', 'first'],
    ],
    'each was started once',
  );
  const said = (name: string): number => worker.all(name).length;
  t.equal(said('consumer.held-lost'), 1);
  t.equal(said('broker.consuming'), 1);
  if (channelOnly === undefined) t.strictSame([said('amqp.lost'), said('broker.lost'), said('amqp.connected')], [1, 1, 1], 'said once');
  else {
    t.strictSame([said('amqp.lost'), said('broker.lost')], [0, 0]);
    const { channel, connection } = await scene.consumer();
    t.not(channel, before?.channel, 'another channel');
    t.equal(connection, before?.connection, 'on the same connection');
    t.equal(worker.events.filter(({ level, message }) => level === 'error' && channelOnly.test(message)).length, 1, 'said once');
  }
  t.ok(said('amqp.unreachable') <= 3, 'once per cause');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
}

t.setTimeout(400_000);

void t.test('connection loss', async (t) => {
  t.setTimeout(280_000);
  const server = await RabbitmqServer.start(t);

  t.test('broker restart', (t) => survives(t, server, { strike: () => server.stop(), mend: () => server.start() }));

  t.test('broker killed', (t) => survives(t, server, { strike: () => server.kill(), mend: () => server.start() }));

  t.test('close all connections', (t) => survives(t, server, { strike: () => server.control.closeAllConnections('maintenance') }));

  t.test('stop app and start app', (t) =>
    survives(t, server, {
      strike: () => server.control.stopApp(),
      mend: () => server.control.startApp(),
    }),
  );

  t.test('missing heartbeats', (t) =>
    survives(t, server, {
      strike: async () => server.pause(),
      mend: async () => server.resume(),
    }),
  );

  t.test('half-open connection', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    await survives(t, server, {
      url: `amqp://guest:guest@127.0.0.1:${proxy.port}//`,
      strike: async () => proxy.freeze(),
      mend: async () => proxy.thaw(),
    });
  });

  t.test('in the middle of its start, at each part that needs the broker', async (t) => {
    const scene = await AmqpScene.open(t, server, 'at-its-start');
    const proxy = await TcpProxy.start(t, server.port);
    // Notices of crashes, mingling, the queue, gossip, remote control.
    const breaksAt = ['umbel.crashes', 'reply.celery.pidbox', scene.queue, 'celeryev', 'celery.pidbox'];
    proxy.cutsAt = (chunk) => {
      const breaks = breaksAt[0] !== undefined && chunk.includes(breaksAt[0]);
      if (breaks) breaksAt.shift();
      return breaks;
    };
    const env = { UMBEL_WORKER_ENABLE_MINGLE: 'true' };
    const worker = await scene.start(['-c', '1'], env, `amqp://guest:guest@127.0.0.1:${proxy.port}//`).ready();
    t.same(breaksAt, [], 'it broke at each');
    const asked = worker.events.slice(
      0,
      worker.events.findIndex(({ event }) => event === 'mingle.alone'),
    );
    t.equal(asked.filter(({ event }) => event === 'broker.lost').length, 2, 'the neighbours are asked again before tasks are taken');
    const result = await scene.call('late', 'afterwards');
    scene.open('afterwards');
    t.equal(await result.get(get), 'first');
    t.same(await worker.stop(), { code: 0, signal: null });
  });

  t.test('channel closed by the server in mid-task', async (t) => {
    const env = async (...calls: readonly string[]): Promise<void> => void (await server.control.evaluate(calls.join(', ')));
    await env('application:set_env(rabbit, consumer_timeout, 6000)', 'application:set_env(rabbit, channel_tick_interval, 3000)');
    await survives(t, server, {
      channelOnly: /consumer timeout/,
      // Read when a channel begins: the next one has none.
      strike: () => env('application:unset_env(rabbit, consumer_timeout)'),
    });
  });

  t.test('channel closed twice by the server in mid-task', async (t) => {
    const { control } = server;
    // Whatever is held has timed out. The server looks at its ticks alone, and its next one is far.
    await control.evaluate('application:set_env(rabbit, consumer_timeout, 1), application:set_env(rabbit, channel_tick_interval, 60000)');
    await survives(t, server, {
      channelOnly: /consumer timeout/,
      strike: async (scene) => {
        await control.evaluate('application:unset_env(rabbit, consumer_timeout)');
        const { channel } = await scene.consumer();
        // Two at one moment. 3.10 comes to them by itself, but by chance: a tick that finds a channel about to hibernate begins a second row of them.
        await control.evaluate(`Channel = list_to_pid("${channel}"), Channel ! tick, Channel ! tick`);
        const ends = `{ok, Log} = file:read_file(hd(rabbit:log_locations())), length(binary:matches(Log, <<"${channel} Channel error">>))`;
        await eventually(t, 'the server has ended it twice', async () => (await control.evaluate(ends)) === '2');
      },
    });
  });

  t.test('cancel', async (t) => {
    const scene = await AmqpScene.open(t, server, 'cancel');
    const env = { UMBEL_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS: 'true' };
    const worker = await scene.start(['-c', '3'], env).ready();
    const results = [await scene.call('obedient', 'obedient'), await scene.call('late', 'deaf'), await scene.call('early', 'early')];
    await worker.count('task.started', 3);
    // What a child has accepted it may not have begun yet, and the deaf one will be killed.
    await eventually(t, 'all run', () => scene.starts().length === 3);
    await eventually(t, 'the early one is acknowledged', async () => String(await scene.messages()) === '0,2');
    await server.control.closeAllConnections('maintenance');
    const cancelled = await worker.event('task.cancelled', ({ taskId }) => taskId === 'deaf');
    await worker.event('task.cancelled', ({ taskId }) => taskId === 'obedient');
    await worker.event('broker.consuming');
    // The deaf one waits for the end of its first run, which is that of its child.
    const ended = await worker.event('child.lost');
    const graceMs = Date.parse(ended.ts) - Date.parse(cancelled.ts);
    // Timers of Node may end a millisecond early, and two lines are two readings of the clock.
    t.ok(graceMs >= 1990 && graceMs < 20_000, `its child was killed ${graceMs} ms later`);
    await eventually(t, 'both run again', () => scene.starts().length === 5);
    const [, again] = await worker.count('task.started', 2, ({ taskId }) => taskId === 'deaf');
    t.ok(worker.events.indexOf(ended) < worker.events.indexOf(again!), 'and not before');
    t.same([...scene.starts()].sort(), [
      ['deaf', 'first'],
      ['deaf', 'redelivered'],
      ['early', 'first'],
      ['obedient', 'first'],
      ['obedient', 'redelivered'],
    ]);
    scene.open('obedient', 'deaf', 'early');
    t.strictSame(await Promise.all(results.map((result) => result.get(get))), ['redelivered', 'redelivered', 'first']);
    t.strictSame(await worker.stop(), { code: 0, signal: null });
    t.strictSame(await scene.messages(), [0, 0]);
  });

  t.test('sent ahead of a child that is blocked', async (t) => {
    const scene = await AmqpScene.open(t, server, 'blocked');
    const ids = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${name}-${n}`);
    // Enough for the type to count as short, even if the first took its time on a busy machine; then one that blocks its child, with others
    // sent ahead of it that cannot be recalled.
    const [warmUps, waiting] = [ids('warm-up', 100), ids('waiting', 300)];
    const all = warmUps.length + 1 + waiting.length;
    for (const id of warmUps) await scene.step(id);
    await scene.step('block', true);
    for (const id of waiting) await scene.step(id);
    const worker = await scene.start(['-c', '2'], { UMBEL_WORKER_PREFETCH_MULTIPLIER: '1000' }).ready();
    await worker.count('task.received', all);
    // The other child has done the rest when all that is left lies behind the block, the broker knows, and it stays so.
    const seen = { starts: 0, sinceMs: 0 };
    const quiet = async (): Promise<boolean> => {
      const starts = scene.starts();
      const isAllButOne = String(await scene.messages()) === `0,${all + 1 - starts.length}` && starts.some(([id]) => id === 'block');
      if (!isAllButOne || starts.length !== seen.starts) Object.assign(seen, { starts: starts.length, sinceMs: performance.now() });
      return performance.now() - seen.sinceMs > 1000;
    };
    await eventually(t, 'only the blocked child has something', quiet);
    const before = scene.starts().length;
    await server.control.closeAllConnections('maintenance');
    t.match(await worker.event('consumer.held-lost'), { running: 1, forgotten: all - before });
    t.ok(before < all, `${all - before} are stuck behind the block`);
    await worker.event('task.redelivered');
    seen.sinceMs = performance.now();
    await eventually(t, 'all are here again', quiet);
    t.equal(scene.starts().length, before, 'they wait until it is certain that the blocked child will not start them');
    scene.open('block');
    await eventually(t, 'all is acknowledged', async () => String(await scene.messages()) === '0,0');
    const started = scene.starts().map(([id]) => id);
    t.strictSame([started.length, new Set(started).size], [all, all], 'each was started once');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });

  const refused = async (worker: LiveWorker, cause: RegExp): Promise<void> => {
    await worker.event('amqp.unreachable', ({ message }) => cause.test(message));
    t.notMatch(worker.lines.join('\n'), /secret|:guest@/, 'no password is shown');
  };

  t.test('a memory alarm keeps no worker from starting, working and stopping', async (t) => {
    const scene = await AmqpScene.open(t, server, 'alarm');
    const result = await scene.call('late', 'meanwhile');
    await server.control.setMemoryLimit({ bytes: 1 });
    t.teardown(() => server.control.setMemoryLimit({ fraction: 0.4 }));
    await eventually(t, 'the alarm is on', async () => (await server.control.evaluate('rabbit_alarm:get_alarms().')) !== '[]');
    const worker = await scene.start(['-c', '1'], { UMBEL_WORKER_ENABLE_MINGLE: 'true' }).ready();
    t.match(worker.all('mingle.failed'), [{ message: /the broker has not taken the request within 1 s/ }]);
    scene.open('meanwhile');
    t.equal(await result.get(get), 'first');
    await eventually(t, 'it is acknowledged', async () => String(await scene.messages()) === '0,0');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
    t.equal(worker.all('amqp.blocked').length, 1, 'said once');
  });

  t.test('neither a server nor a virtual host, until they are there', async (t) => {
    const scene = await AmqpScene.open(t, server, 'vhost');
    await server.stop();
    const worker = scene.start(['-c', '1'], {}, server.url('later'));
    await refused(worker, /ECONNREFUSED/);
    await server.start();
    const noVhost = /virtual host: 530 .*\/later/;
    await refused(worker, noVhost);
    await server.control.addVhost('later');
    await worker.ready();
    t.equal(worker.all('amqp.unreachable').filter(({ message }) => noVhost.test(message)).length, 1, 'said once');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });

  t.test('wrong credentials end the start; those that were right are waited for', async (t) => {
    const scene = await AmqpScene.open(t, server, 'credentials');
    await server.control.addUser('somebody', 'other');
    await server.control.allow('somebody');
    const url = `amqp://somebody:secret@127.0.0.1:${server.port}//`;
    const early = scene.start(['-c', '1'], {}, url);
    t.match(await early.end(), { code: 69 });
    t.match(early.lines.join('\n'), /user and password of the URL: 403 ACCESS_REFUSED/);
    t.notMatch(early.lines.join('\n'), /secret/, 'no password is shown');
    await server.control.setPassword('somebody', 'secret');
    const worker = await scene.start(['-c', '1'], {}, url).ready();
    const running = await scene.call('late', 'through');
    await worker.event('task.started');
    await server.control.setPassword('somebody', 'other');
    await server.control.closeAllConnections('maintenance');
    await refused(worker, /user and password of the URL: 403 ACCESS_REFUSED/);
    scene.open('through');
    await worker.event('task.succeeded');
    await server.control.setPassword('somebody', 'secret');
    const rightAtMs = performance.now();
    await worker.event('broker.consuming');
    t.ok(
      performance.now() - rightAtMs < withinMs,
      `consuming ${Math.round(performance.now() - rightAtMs)} ms after the credentials were right`,
    );
    t.equal(await running.get(get), 'first');
    t.equal(worker.all('amqp.unreachable').length, 1, 'said once');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });

  t.test('a user who may declare nothing: what is there is used, and remote control, gossip and notices are done without', async (t) => {
    const scene = await AmqpScene.open(t, server, 'undeclared');
    // It declares the queue.
    const task = await scene.call('late', 'works');
    scene.open('works');
    await server.control.addUser('tenant', 'secret');
    await server.control.allow('tenant', '/', '^$');
    const worker = await scene.start(['-c', '1'], {}, `amqp://tenant:secret@127.0.0.1:${server.port}//`).ready();
    const said = worker.all('broker.denied').map(({ message }) => message);
    for (const without of ['How many children a message has ended', 'This worker hears nothing of others', 'Remote control does not reach'])
      t.equal(said.filter((line) => line.startsWith(without)).length, 1, without);
    t.match(said.join('\n'), /^queue undeclared could not be declared and is used if it is there: 403 ACCESS_REFUSED/m);
    t.same(worker.all('broker.channel-lost'), [], 'nobody listens anew');
    t.equal(await task.get(get), 'first');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });

  t.test('the end, where the settings want it', async (t) => {
    const scene = await AmqpScene.open(t, server, 'impatient');
    const nowhere = server.url('nowhere');
    const noRetry = scene.start(['-c', '1'], { UMBEL_BROKER_CONNECTION_RETRY_ON_STARTUP: 'false' }, nowhere);
    t.match(await noRetry.end(), { code: 69 });
    t.match(noRetry.lines.join('\n'), /virtual host: 530/);
    const twice = scene.start(['-c', '1'], { UMBEL_BROKER_CONNECTION_MAX_RETRIES: '2' }, nowhere);
    t.match(await twice.end(), { code: 69 });
    const noReconnect = await scene.start(['-c', '1'], { UMBEL_BROKER_CONNECTION_RETRY: 'false' }).ready();
    const running = await scene.call('early', 'runs-on');
    await noReconnect.event('task.started');
    await eventually(t, 'it is acknowledged', async () => String(await scene.messages()) === '0,0');
    const counted = await scene.start(['-c', '1'], { UMBEL_BROKER_CONNECTION_MAX_RETRIES: '2' }).ready();
    await server.stop();
    await noReconnect.event('worker.fatal');
    scene.open('runs-on');
    t.equal(await running.get(get), 'first', 'what runs is finished before');
    for (const worker of [noReconnect, counted]) {
      t.match(await worker.end(), { code: 69 });
      t.match(worker.all('worker.fatal'), [{ code: 'BROKER_LOST' }]);
    }
    t.equal(noReconnect.all('amqp.unreachable').length, 0);
  });
});
