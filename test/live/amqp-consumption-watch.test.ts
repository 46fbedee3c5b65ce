/**
 * The watch over consumption on a real RabbitMQ: a standstill is healed step by step, and what looks like one is left alone.
 *
 * A standstill as it happens: the server has forgotten the consumer, and the worker has not been told.
 */
import t, { type Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { AmqpScene } from './amqp-scene.ts';
import type { LiveWorker } from './live-worker.ts';

const get = { timeoutMs: 30_000 };
const every = (seconds: number) => ({ UMBEL_WORKER_CONSUMPTION_CHECK_INTERVAL: String(seconds) });
/** Where nothing is to happen. A server that answers nothing for three of them while the worker goes on is a reason for alarm, and a busy machine makes one wait. */
const quickSeconds = 0.5;
const quick = every(quickSeconds);
const singleActive = '[queues.single]\nqueue_arguments = { "x-single-active-consumer" = true }\n';

const stepsOf = (worker: LiveWorker): unknown[] => worker.all('consumer.stalled').map(({ step }) => step);

/** Time in which a watch that was wrong would have gone all the way. */
async function manyIntervals(t: Test): Promise<void> {
  const since = performance.now();
  await eventually(t, 'eight intervals', () => performance.now() - since > 8 * quickSeconds * 1000);
}

void t.test('the watch on RabbitMQ', async (t) => {
  t.setTimeout(200_000);
  const server = await RabbitmqServer.start(t);

  t.test('a consumer that the server has forgotten: another one', async (t) => {
    const scene = await AmqpScene.open(t, server, 'forgotten');
    const worker = await scene.start(['-c', '2'], every(0.5)).ready();
    const held = await scene.call('late', 'held');
    await worker.event('task.started');
    // The queue no longer counts its channel among those that may be sent to; channel and connection are well.
    await server.control.evaluate(forgetConsumers('forgotten'));
    const result = await scene.call('late', 'next');
    scene.open('next');
    t.equal(await result.get(get), 'first');
    // The result may be here before what the worker has said by then.
    await worker.event('consumer.recovered');
    t.strictSame(stepsOf(worker), ['rebuild']);
    scene.open('held');
    t.equal(await held.get(get), 'first');
    t.strictSame(worker.all('broker.lost'), [], 'on the same connection');
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });

  t.test('no alarm: the queue has a single active consumer, and it is another worker', async (t) => {
    const scene = await AmqpScene.open(t, server, 'single');
    scene.folder.write('umbel.toml', singleActive);
    const env = { ...quick, UMBEL_WORKER_PREFETCH_MULTIPLIER: '1' };
    const active = await scene.start(['-c', '1', '-n', 'active@h'], env).ready();
    const passive = await scene.start(['-c', '1', '-n', 'passive@h'], env).ready();
    const results = [await scene.call('late', 'one'), await scene.call('late', 'two')];
    await active.event('task.started');
    t.strictSame(await scene.messages(), [1, 1], 'ready all the time');
    await manyIntervals(t);
    t.strictSame([stepsOf(active), stepsOf(passive)], [[], []]);
    scene.open('one', 'two');
    for (const result of results) t.equal(await result.get(get), 'first');
    t.strictSame([await active.stop(), await passive.stop()], Array(2).fill({ code: 0, signal: null }));
  });

  t.test('no alarm: other workers have the messages, all busy or one of them', async (t) => {
    const scene = await AmqpScene.open(t, server, 'shared');
    const env = { ...quick, UMBEL_WORKER_PREFETCH_MULTIPLIER: '1' };
    const one = await scene.start(['-c', '1', '-n', 'one@h'], env).ready();
    const first = await scene.call('late', 'first');
    await one.event('task.started');
    const two = await scene.start(['-c', '1', '-n', 'two@h'], env).ready();
    await manyIntervals(t);
    const second = [await scene.call('late', 'second'), await scene.call('late', 'third')];
    await two.event('task.started');
    t.strictSame(await scene.messages(), [1, 2]);
    await manyIntervals(t);
    t.strictSame([stepsOf(one), stepsOf(two)], [[], []]);
    scene.open('first', 'second', 'third');
    for (const result of [first, ...second]) t.equal(await result.get(get), 'first');
    t.strictSame([await one.stop(), await two.stop()], Array(2).fill({ code: 0, signal: null }));
  });

  t.test('no alarm: short of memory, quiet, or away', async (t) => {
    const scene = await AmqpScene.open(t, server, 'alarm');
    const worker = await scene.start(['-c', '1'], quick).ready();
    await server.control.setMemoryLimit({ bytes: 1 });
    await manyIntervals(t);
    await server.control.setMemoryLimit({ fraction: 0.6 });
    worker.kill('SIGTSTP');
    await worker.event('worker.quiet');
    const result = await scene.call('late', 'waits');
    scene.open('waits');
    await manyIntervals(t);
    worker.kill('SIGCONT');
    t.equal(await result.get(get), 'first');
    await server.stop();
    await worker.event('broker.lost');
    await manyIntervals(t);
    await server.start();
    await worker.event('broker.consuming');
    await manyIntervals(t);
    t.strictSame([stepsOf(worker), worker.all('consumer.look-failed')], [[], []]);
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });
});

/** Erlang: the queue's process drops its consumers, as if their channels had cancelled them. */
function forgetConsumers(queue: string): string {
  const cancel = 'gen_server2:call(amqqueue:get_pid(Q), {basic_cancel, Channel, Tag, undefined, <<"test">>})';
  return (
    `{ok, Q} = rabbit_amqqueue:lookup({resource, <<"/">>, queue, <<"${queue}">>}), ` +
    `[${cancel} || {Channel, Tag, _, _, _, _, _, _} <- rabbit_amqqueue:consumers(Q)].`
  );
}
