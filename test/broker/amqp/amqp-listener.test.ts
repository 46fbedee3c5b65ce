/** A listener whose connection breaks while it begins: it ends with one channel. What it hears: conformance. */
import t from 'tap';
import { AmqpListener } from '../../../src/broker/amqp/amqp-listener.ts';
import type { Topology } from '../../../src/broker/amqp/topology.ts';
import type { AmqpConnection } from '../../../src/driver/amqp.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { settled } from '../../consumer/doubles.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

t.test('two starts, of before a loss and of after it: the second channel is closed', async (t) => {
  const declared: (() => void)[] = [];
  const channels: { name: number; closed: boolean; consumers: number }[] = [];
  const connection = {
    state: 'connected',
    openChannel: async () => {
      const channel = { name: channels.length, closed: false, consumers: 0 };
      channels.push(channel);
      return {
        onClose: () => {},
        declareQueue: async (name: string) => ({ name, messages: 0, consumers: 0 }),
        bindQueue: async () => {},
        consume: async () => void channel.consumers++,
        close: async () => {
          channel.closed = true;
          return true;
        },
      } as unknown as AmqpChannel;
    },
  } as unknown as AmqpConnection;
  const topology = { declareExchange: () => new Promise<void>((resolve) => declared.push(resolve)) } as unknown as Topology;
  const listener = new AmqpListener({
    connection,
    topology,
    listen: { exchange: 'x', exchangeType: 'fanout', routingKey: '', onMessage: () => {} },
    log: new RecordingLog(),
    clock: new FakeClock(),
    stopped: () => {},
  });
  const first = listener.start();
  listener.reconnected();
  await settled();
  t.equal(declared.length, 2);
  for (const resolve of declared) resolve();
  await first;
  await settled();
  t.same(channels, [
    { name: 0, closed: false, consumers: 1 },
    { name: 1, closed: true, consumers: 0 },
  ]);
  await listener.stop();
  t.ok(channels.every(({ closed }) => closed));
});
