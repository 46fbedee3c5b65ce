import t from 'tap';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { TcpProxy } from '../../tcp-proxy.ts';
import { brokerConformance } from '../conformance.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

t.test('amqp', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  brokerConformance(t, {
    name: 'amqp',
    drawsLots: true,
    open: async () => ({
      create: async () => amqpBroker(vhost.url()),
      // Not even the end of its connection is heard: the server misses two heartbeats, of two seconds for a machine that stands still before it is doomed.
      createDoomed: async () => {
        const proxy = await TcpProxy.start(t, vhost.port);
        const doomed = amqpBroker(`${vhost.url({ port: proxy.port })}?heartbeat=2`);
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
