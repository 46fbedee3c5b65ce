/** A listener whose connection breaks while it begins: it ends with one channel. What it hears: conformance. */
import t from 'tap';
import { AmqpListener } from '../../../src/broker/amqp/amqp-listener.ts';
import type { Topology } from '../../../src/broker/amqp/topology.ts';
import type { AmqpConnection } from '../../../src/driver/amqp.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { AmqpFailure } from '../../../src/driver/amqp-failure.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { settled } from '../../consumer/doubles.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

t.test('attempts of before a loss and of after it: what comes late is closed, and a start is told', async (t) => {
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
  await t.rejects(first, { kind: 'lost', message: /listening to exchange x was not begun: the connection it had begun on is no more/ });
  const second = listener.start();
  await settled();
  t.equal(declared.length, 2);
  declared[1]?.();
  await second;
  // Two losses: who was asked after the first of them answers last.
  listener.reconnected();
  listener.reconnected();
  t.equal(declared.length, 4);
  declared[3]?.();
  await settled();
  declared[0]?.();
  declared[2]?.();
  await settled();
  t.same(channels, [
    { name: 0, closed: false, consumers: 1 },
    { name: 1, closed: false, consumers: 1 },
    { name: 2, closed: true, consumers: 0 },
    { name: 3, closed: true, consumers: 0 },
  ]);
  await listener.stop();
  t.ok(channels[1]?.closed);
});

t.test('a channel that ends while it begins: who starts it is told, and nothing else happens', async (t) => {
  const denied = new AmqpFailure('denied', 'the user lacks a right');
  const log = new RecordingLog();
  const clock = new FakeClock();
  let opened = 0;
  const listener = (onConsume: (end: (cause: AmqpFailure) => void) => Promise<void>) => {
    const connection = {
      state: 'connected',
      openChannel: async () => {
        opened += 1;
        let end = (_cause: AmqpFailure): void => {};
        return {
          onClose: (told: typeof end) => {
            end = told;
          },
          declareQueue: async (name: string) => ({ name, messages: 0, consumers: 0 }),
          bindQueue: async () => {},
          consume: () => onConsume((cause) => end(cause)),
        } as unknown as AmqpChannel;
      },
    } as unknown as AmqpConnection;
    const listen = { exchange: '', exchangeType: 'direct' as const, routingKey: '', onMessage: () => {} };
    return new AmqpListener({ connection, topology: {} as Topology, listen, log, clock, stopped: () => {} });
  };
  const refused = listener((end) => {
    end(denied);
    return Promise.reject(denied);
  });
  await t.rejects(refused.start(), denied);
  // Its last answer and its end came in one piece.
  const late = listener(async (end) => end(denied));
  await t.rejects(late.start(), denied);
  await settled();
  clock.advance(60_000);
  await settled();
  t.equal(opened, 2, 'neither begins by itself');
  t.same(log.lines, []);
});
