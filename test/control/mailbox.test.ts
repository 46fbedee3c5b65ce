/** Two nodes and a caller over one broker in memory: who answers, when the caller stops waiting, what garbage does. */
import t, { type Test } from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { controlCommands } from '../../src/control/control-commands.ts';
import { inspectCommands } from '../../src/control/inspect-commands.ts';
import { Mailbox } from '../../src/control/mailbox.ts';
import { Panel } from '../../src/control/panel.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { FakeSurface } from './fake-surface.ts';

async function scene(t: Test, ...names: string[]) {
  const hub = new MemoryHub();
  const broker = new MemoryBroker({ hub });
  await broker.start();
  t.teardown(() => broker.stop());
  const log = new RecordingLog();
  const nodes = names.map((name) => new FakeSurface(name));
  for (const surface of nodes) {
    const mailbox = new Mailbox({
      broker,
      panel: new Panel([...inspectCommands, ...controlCommands]),
      surface,
      namespace: 'celery',
      acceptContent: ['json'],
      queueExpiresMs: 10_000,
      queueTtlMs: 300_000,
      log,
    });
    await mailbox.start();
    t.teardown(() => mailbox.stop());
  }
  const clock = new FakeClock();
  const client = new ControlClient({ broker, log, clock });
  t.teardown(() => client.stop());
  return { broker, client, nodes, log, clock };
}

const patience = { timeoutMs: 60_000 };
const byName = (replies: readonly { nodeName: string; value: unknown }[]) =>
  Object.fromEntries(replies.map(({ nodeName, value }) => [nodeName, value]));

t.test('everybody answers; one by name; those of a pattern', async (t) => {
  const { client } = await scene(t, 'w1@x', 'w2@x');
  t.strictSame(byName(await client.broadcast('ping', { ...patience, limit: 2 })), { 'w1@x': { ok: 'pong' }, 'w2@x': { ok: 'pong' } });
  t.strictSame(byName(await client.broadcast('ping', { ...patience, destination: ['w2@x'] })), { 'w2@x': { ok: 'pong' } });
  t.strictSame(byName(await client.broadcast('ping', { ...patience, limit: 1, pattern: 'w1*', matcher: 'glob' })), {
    'w1@x': { ok: 'pong' },
  });
});

t.test('the time is over: what has come is what there is', async (t) => {
  const { client, clock } = await scene(t, 'w1@x');
  const heard = Promise.withResolvers<void>();
  const replies = client.broadcast('ping', { timeoutMs: 1000, limit: 2, onReply: () => heard.resolve() });
  await heard.promise;
  clock.advance(1000);
  t.equal((await replies).length, 1);
  const none = client.broadcast('ping', { timeoutMs: 1000, destination: ['nobody@x'] });
  // Sent, and its timer set, before the clock goes on.
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(1000);
  t.strictSame(await none, []);
});

t.test('without a wish for replies it is done and nothing comes back', async (t) => {
  const { client, nodes } = await scene(t, 'w1@x');
  await client.cast('revoke', { arguments: { task_id: 'a' } });
  await client.broadcast('ping', { ...patience, limit: 1 });
  t.strictSame(nodes[0]!.done, [['revoke', ['a'], null]]);
});

t.test('the clock of the node follows the requests', async (t) => {
  const { client, nodes } = await scene(t, 'w1@x');
  nodes[0]!.clock.adjust(100);
  const [first] = await client.broadcast('ping', { ...patience, limit: 1 });
  t.equal(first!.clock, 103, '101, the request, the reply');
  const [second] = await client.broadcast('clock', { ...patience, limit: 1 });
  t.ok((second!.value as { clock: number }).clock > 103, 'and the caller’s clock follows the replies');
});

t.test('garbage is said and ignored; a failing command is a reply and a line', async (t) => {
  const { broker, client, log } = await scene(t, 'w1@x');
  const properties = { contentType: 'application/json', contentEncoding: 'utf-8' };
  await broker.publish({ properties, headers: null, body: Buffer.from('{') }, { exchange: 'celery.pidbox', routingKey: '' });
  t.strictSame(byName(await client.broadcast('nothing', { ...patience, limit: 1 })), { 'w1@x': { error: "KeyError('nothing')" } });
  t.strictSame(
    log.lines.filter(({ level }) => level === 'error').map(({ event }) => event),
    ['control.undecodable', 'control.failed'],
  );
});

t.test('a reply that cannot be written is an error of the command', async (t) => {
  const { client, nodes } = await scene(t, 'w1@x');
  nodes[0]!.stats = () => ({ total: () => {} }) as never;
  t.match(byName(await client.broadcast('stats', { ...patience, limit: 1 })), { 'w1@x': { error: /^RuntimeError\(.*JSON serializable/ } });
});
