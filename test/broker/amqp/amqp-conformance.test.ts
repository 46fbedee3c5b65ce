import t from 'tap';
import { RabbitmqServer } from '../../rabbitmq-server.ts';
import { TcpProxy } from '../../tcp-proxy.ts';
import { brokerConformance } from '../conformance.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(120_000);

t.test('amqp', async (t) => {
  const server = await RabbitmqServer.start(t);
  brokerConformance(t, {
    name: 'amqp',
    drawsLots: true,
    open: async () => ({
      create: async () => amqpBroker(server.url()),
      // Not even the end of its connection is heard: the server misses two heartbeats.
      createDoomed: async () => {
        const proxy = await TcpProxy.start(t, server.port);
        const doomed = amqpBroker(`amqp://127.0.0.1:${proxy.port}//?heartbeat=1`);
        await doomed.start();
        const crash = async (): Promise<void> => {
          proxy.freeze();
          doomed.abandon();
        };
        return { broker: doomed, crash };
      },
      // The server checks what it carries.
      putGarbage: async () => false,
      close: async () => {},
    }),
  });
});
