/** Workers see each other come, go and fall silent. */
import t from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { Gossip } from '../../src/event/gossip.ts';
import { encodeEvents, makeEvent, routingKeyOf } from '../../src/protocol/event.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('neighbours', async (t) => {
  const broker = new MemoryBroker({ hub: new MemoryHub() });
  await broker.start();
  t.teardown(() => broker.stop());
  const clock = new FakeClock();
  const log = new RecordingLog();
  const logicalClock = new LamportClock();
  const gossip = new Gossip({
    receiver: {
      broker,
      exchange: 'celeryev',
      acceptContent: ['json'],
      logicalClock,
      queuePrefix: 'celeryev',
      queueTtlMs: 1,
      queueExpiresMs: 1,
      clock,
      log,
    },
    nodeName: 'me@h',
    pid: 1,
    log,
    clock,
    send: () => {},
    elected: () => {},
  });
  await gossip.start();
  let at = 100;
  const say = async (hostname: string, type: string) => {
    at += 10;
    const event = makeEvent(type, { hostname, pid: 2 }, at, clock.now(), 0, { freq: 2 });
    await broker.publish(encodeEvents(event, hostname), { exchange: 'celeryev', routingKey: routingKeyOf(type) });
    while (logicalClock.value < at) await new Promise((resolve) => setImmediate(resolve));
  };
  const said = (): string[] => log.lines.map(({ message }) => message);
  await say('a@h', 'worker-online');
  await say('b@h', 'worker-heartbeat');
  await say('me@h', 'worker-heartbeat');
  t.same(
    gossip.peers.map(({ hostname }) => hostname),
    ['a@h', 'b@h'],
  );
  t.same(said(), ['a@h joined the party', 'b@h joined the party']);
  await say('a@h', 'worker-offline');
  t.equal(said().at(-1), 'a@h left');
  clock.advance(5000);
  t.equal(said().at(-1), 'missed heartbeat from b@h');
  t.same(gossip.peers, []);
  clock.advance(5000);
  t.equal(said().length, 4, 'said once');
  await gossip.stop();
});
