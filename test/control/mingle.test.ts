/** A worker learns from its neighbours, and its neighbours from it; an odd one harms nobody. */
import t, { type Test } from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { controlCommands } from '../../src/control/control-commands.ts';
import { inspectCommands } from '../../src/control/inspect-commands.ts';
import { Mailbox } from '../../src/control/mailbox.ts';
import { mingle } from '../../src/control/mingle.ts';
import { Panel } from '../../src/control/panel.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { FakeSurface } from './fake-surface.ts';

/** Knows of nothing revoked, and learns nothing. */
const ignorant = { nodeName: 'me@h', logicalClock: new LamportClock(), revokedTimes: () => new Map(), learnRevoked: () => {} };

t.test('hello to all', async (t) => {
  const hub = new MemoryHub();
  const broker = new MemoryBroker({ hub });
  await broker.start();
  t.teardown(() => broker.stop());
  const log = new RecordingLog();
  const surfaces = ['a@h', 'broken@h', 'me@h'].map((name) => new FakeSurface(name));
  for (const surface of surfaces) {
    const panel = new Panel([...inspectCommands, ...controlCommands]);
    const mailbox = new Mailbox({
      broker,
      panel,
      surface,
      namespace: 'celery',
      acceptContent: ['json'],
      queueExpiresMs: 1000,
      queueTtlMs: 1000,
      log,
    });
    await mailbox.start();
  }
  const [a, broken] = surfaces;
  a?.ids.set('theirs', 5);
  for (let n = 0; n < 50; n++) a?.clock.forward();
  if (broken !== undefined)
    broken.learnRevoked = () => {
      throw new Error('no memory');
    };
  const logicalClock = new LamportClock();
  const client = new ControlClient({ broker, logicalClock, log });
  const learned: unknown[] = [];
  await mingle({
    // All three answer: the time need not pass.
    client: { broadcast: (method, options) => client.broadcast(method, { ...options, timeoutMs: 60_000, limit: 3 }) },
    nodeName: 'me@h',
    logicalClock,
    timeoutMs: 100,
    log,
    revokedTimes: () => new Map([['ours', 7]]),
    learnRevoked: (revoked) => learned.push(revoked),
  });
  t.match(learned, [{ theirs: [5, 'theirs'] }]);
  t.equal(learned.length, 1, 'neither its own answer nor the broken one');
  t.ok(a?.ids.has('ours'), 'and they know ours');
  t.ok(logicalClock.value > 50);
  const events = log.lines.map(({ event }) => event);
  for (const event of ['mingle.searching', 'mingle.failed', 'mingle.synced']) t.ok(events.includes(event), event);
  await client.stop();
});

t.test('alone, or without a broker', async (t) => {
  const log = new RecordingLog();
  const params = { ...ignorant, log, timeoutMs: 1 };
  await mingle({ ...params, client: { broadcast: async () => [] } });
  t.equal(log.lines.at(-1)?.message, 'mingle: all alone');
  await mingle({ ...params, client: { broadcast: () => Promise.reject(new Error('gone')) } });
  t.match(log.lines.at(-1), { event: 'mingle.failed', message: /gone/ });
});

/** On a broker of its own, where nobody listens. */
async function clientOf(t: Test, broker: MemoryBroker) {
  await broker.start();
  t.teardown(() => broker.stop());
  const log = new RecordingLog();
  const client = new ControlClient({ broker, log });
  t.teardown(() => client.stop());
  return { ...ignorant, client, log };
}

t.test('where nobody listens nobody is waited for', async (t) => {
  const params = await clientOf(t, new MemoryBroker({ hub: new MemoryHub() }));
  // A timer that is not cancelled would keep this process for an hour.
  await mingle({ ...params, timeoutMs: 3_600_000 });
  t.strictSame(
    params.log.lines.map(({ event }) => event),
    ['mingle.searching', 'mingle.alone'],
  );
});

t.test('a broker that is short of memory keeps no worker from its tasks', async (t) => {
  class FullBroker extends MemoryBroker {
    override publish(): Promise<void> {
      return new Promise(() => {});
    }
  }
  const params = await clientOf(t, new FullBroker({ hub: new MemoryHub() }));
  await mingle({ ...params, timeoutMs: 20 });
  t.match(params.log.lines.at(-1), {
    event: 'mingle.failed',
    message: /nobody could be asked: the broker has not taken the request within 0\.02 s/,
  });
});
