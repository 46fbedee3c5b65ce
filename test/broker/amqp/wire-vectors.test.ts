/** What real Celery wrote to RabbitMQ is read here, and what we write from it is the same bytes; what a worker and a client declare is the same. */
import { createRequire } from 'node:module';
import { connect, createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { AmqpBroker } from '../../../src/broker/amqp/amqp-broker.ts';
import { fromWire, toWire } from '../../../src/broker/amqp/wire-message.ts';
import { takeOverFrames } from '../../../src/driver/amqp-frames.ts';
import type { RawConnection, RawProperties } from '../../../src/driver/amqp-raw.ts';
import { type AmqpMessage, loadVectors, messageOfAmqp, messagesOf, type TaskVector } from '../../protocol/vectors.ts';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { openInbox, textMessage } from '../inbox.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

/** amqplib's codec, which it does not export: what it is given by toWire it writes by this. */
const codec = new URL('../../../node_modules/amqplib/lib/defs.js', import.meta.url);
const { encodeProperties, decode, info } = createRequire(import.meta.url)(fileURLToPath(codec)) as {
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
  decode(id: number, bytes: Buffer): Record<string, unknown>;
  info(id: number): { readonly name: string };
};
const basicClass = 60;
/** Frame header, class, weight and size of the body. */
const beforeFlags = 7 + 12;

interface WireMessage extends AmqpMessage {
  readonly content_header_base64: string;
}

function readHeader(bytes: Buffer): RawProperties {
  const start = Buffer.alloc(beforeFlags);
  start.writeUInt8(2, 0);
  start.writeUInt16BE(1, 1);
  start.writeUInt32BE(12 + bytes.length, 3);
  start.writeUInt16BE(basicClass, 7);
  const connection = {
    rest: Buffer.concat([start, bytes, Buffer.from([0xce])]),
    maxFrameSize: 131_072,
    recvFrame: () => false as unknown,
    stream: { write: () => true },
  };
  takeOverFrames(connection as unknown as RawConnection);
  return (connection.recvFrame() as { fields: RawProperties }).fields;
}

function check(t: Test, name: string, vector: WireMessage): void {
  const bytes = Buffer.from(vector.content_header_base64, 'base64');
  const message = messageOfAmqp(vector);
  const read = readHeader(bytes);
  t.strictSame(read.headers ?? {}, vector.headers, `${name}: headers`);
  const { extra, ...properties } = fromWire(read);
  t.match(properties, message.properties, `${name}: properties`);
  const again = { ...message, properties: fromWire(read), headers: read.headers ?? null };
  const frame = encodeProperties(basicClass, 1, 0, toWire(again, '', 'q', false));
  t.equal(frame.subarray(beforeFlags, -1).toString('hex'), bytes.toString('hex'), `${name}: the same bytes`);
}

for (const file of ['tasks-amqp.json', 'tasks-amqp-5.6.3.json'] as const) {
  t.test(`content headers of ${file}`, async (t) => {
    const loaded = loadVectors(t, file) as TaskVector<WireMessage>[] | { vectors: TaskVector<WireMessage>[] } | null;
    if (loaded === null) return;
    const vectors = 'vectors' in loaded ? loaded.vectors : loaded;
    for (const vector of vectors) for (const message of messagesOf(vector)) check(t, vector.name, message);
  });
}

t.test('content headers of results-rpc.json', async (t) => {
  const loaded = loadVectors(t, 'results-rpc.json') as { result_messages: { message: WireMessage }[] } | null;
  for (const [index, { message }] of loaded?.result_messages.entries() ?? []) check(t, `reply ${index}`, message);
});

interface Method {
  readonly method: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Everything a client says through it, method by method. */
class Listening {
  readonly methods: Method[] = [];
  readonly #server: Server;

  constructor(t: Test, port: number) {
    this.#server = createServer((client) => {
      const server = connect(port, '127.0.0.1');
      client.pipe(server).pipe(client);
      for (const socket of [client, server]) socket.on('error', () => socket.destroy());
      // Without the protocol header.
      let skip = 8;
      let rest: Buffer = Buffer.alloc(0);
      client.on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        const skipped = Math.min(skip, rest.length);
        skip -= skipped;
        rest = this.#read(rest.subarray(skipped));
      });
    });
    t.teardown(() => this.#server.close());
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  #read(bytes: Buffer): Buffer {
    let left = bytes;
    while (left.length >= 8 && left.length >= 8 + left.readUInt32BE(3)) {
      const end = 7 + left.readUInt32BE(3);
      if (left[0] === 1) {
        const id = left.readUInt32BE(7);
        const name = info(id)
          .name.replace(/(?<=[a-z])(?=[A-Z])/, '.')
          .replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`)
          .toLowerCase();
        this.methods.push({ method: name, arguments: decode(id, left.subarray(11, end)) });
      }
      left = left.subarray(end + 1);
    }
    return left;
  }
}

/** The vector's arguments in amqplib's words. */
function camel(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).map(([key, value]) => [key.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]),
  );
}

t.test("what is declared, consumed and published is Celery's, method by method", async (t) => {
  const wire = loadVectors(t, 'wire-amqp.json') as Record<
    'worker' | 'client',
    (Method & { readonly from: string; readonly phase: string })[]
  > | null;
  if (wire === null) return;
  const vhost = await RabbitmqVhost.open(t);
  const listening = new Listening(t, vhost.port);
  const broker: AmqpBroker = amqpBroker(vhost.url({ port: await listening.start() }));
  t.teardown(() => broker.stop());
  await broker.start();
  await broker.declareQueue({ name: 'celery' });
  const inbox = await openInbox(broker, ['celery'], 4);
  await broker.publish(textMessage('x'), { exchange: '', routingKey: 'celery' });
  const delivery = await inbox.deliveries.next();
  await inbox.subscription.ack(delivery);
  const said = (method: string): Record<string, unknown>[] =>
    listening.methods.filter((one) => one.method === method).map((one) => one.arguments as Record<string, unknown>);
  const celery = (who: 'worker' | 'client', method: string, fits: (given: Method['arguments']) => boolean): Record<string, unknown> => {
    const found = wire[who].find((one) => one.from === 'client' && one.method === method && fits(one.arguments));
    if (found === undefined) throw new Error(`${who} says no ${method}`);
    return camel(found.arguments);
  };
  const about = (key: string) => (given: Method['arguments']) => given[key] === 'celery';
  t.match(said('exchange.declare')[0], celery('worker', 'exchange.declare', about('exchange')));
  t.match(said('queue.declare')[0], celery('worker', 'queue.declare', about('queue')));
  t.match(said('queue.bind')[0], celery('worker', 'queue.bind', about('queue')));
  // Celery counts the channel, which costs the server more; a single queue is counted by its consumer here.
  const qos = { ...celery('worker', 'basic.qos', () => true), global: false };
  t.match(said('basic.qos')[0], qos);
  const { consumerTag: _, ...consume } = celery('worker', 'basic.consume', about('queue'));
  t.match(said('basic.consume')[0], consume);
  t.match(said('basic.publish')[0], celery('client', 'basic.publish', about('routing_key')));
  t.match(said('basic.ack')[0], { deliveryTag: Number(delivery.tag) });
  t.match(said('connection.open')[0], { virtualHost: vhost.name });
});
