/** Headers between umbel and the py-amqp of Debian, which misreads narrow integers: both directions, and which tags it finds. */
import t from 'tap';
import type { Message } from '../../../src/protocol/message.ts';
import { celeryMissing, PythonCelery } from '../../python-celery.ts';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { openInbox, textMessage } from '../inbox.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

t.test('headers with py-amqp', { skip: celeryMissing() }, async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const broker = amqpBroker(vhost.url());
  t.teardown(() => broker.stop());
  await broker.start();
  await broker.declareQueue({ name: 'headers' });
  const python = new PythonCelery(
    t,
    `
import amqp, amqp.serialization, struct

connection = amqp.Connection('127.0.0.1:${vhost.port}', virtual_host='${vhost.name}')
connection.connect()
channel = connection.channel()
`,
  );

  t.test('what umbel writes is read as it was meant, by its tags', async (t) => {
    const headers = {
      zero: 0,
      small: 5,
      negative: -3,
      byte: 200,
      short: 1000,
      int: 100_000,
      long: 2 ** 40,
      minusInt: -(2 ** 31),
      minusLong: -(2 ** 40),
      float: 1.5,
      list: [1, [2, { deep: 3 }]],
      none: null,
      yes: true,
    };
    const message: Message = { ...textMessage('x'), headers };
    await broker.publish(message, { exchange: '', routingKey: 'headers' });
    const script = python.script(`
tags = []
original = amqp.serialization._read_item
def recording(buf, offset):
    tags.append(chr(buf[offset]))
    return original(buf, offset)
amqp.serialization._read_item = recording
got = channel.basic_get('headers', no_ack=True)
say({'headers': got.headers, 'tags': tags})
`);
    const [found] = (await script.rest()) as [{ headers: unknown; tags: string[] }];
    t.strictSame(found.headers, headers);
    t.strictSame([...new Set(found.tags)].sort(), ['A', 'F', 'I', 'V', 'd', 'l', 't']);
  });

  t.test('what Python writes is read as it was meant, its L too', async (t) => {
    const inbox = await openInbox(broker, ['headers']);
    await python
      .script(`
from decimal import Decimal
from datetime import datetime
headers = {'long': 2**40, 'small': 5, 'negative': -2**40, 'text': 'ü', 'float': 0.25, 'list': [1, {'a': None}], 'decimal': Decimal('3.15'), 'yes': True, 'time': datetime(2020, 1, 1)}
channel.basic_publish(amqp.Message('x', application_headers=headers, content_type='text/plain', message_id='m', app_id='p'), routing_key='headers')
connection.close()
`)
      .rest();
    const delivery = await inbox.deliveries.next();
    t.strictSame(delivery.headers, {
      long: 2 ** 40,
      small: 5,
      negative: -(2 ** 40),
      text: 'ü',
      float: 0.25,
      list: [1, { a: null }],
      decimal: 3.15,
      yes: true,
      time: new Date('2020-01-01T00:00:00Z'),
    });
    t.match(delivery.properties, { contentType: 'text/plain', extra: { message_id: 'm', app_id: 'p' } });
    t.equal(await inbox.subscription.ack(delivery), 'done');
  });
});
