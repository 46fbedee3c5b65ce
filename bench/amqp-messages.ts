/**
 * Messages of the benchmark, in Celery's wire format: two published by real Python Celery, all others the same with another task id and
 * argument. The second one proves that they are: made from the first, its header frame and body must come out byte by byte.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { GetMessage, Options } from 'amqplib';
import { taggedTable } from '../src/driver/amqp-table.ts';
import { type AmqpBenchPlace, queue } from './amqp-place.ts';
import { peerFolder, python } from './noop-workers.ts';

interface Made {
  readonly options: Options.Publish;
  readonly body: Buffer;
}

const publishAtOnce = 2000;
const headerFrame = 2;
/** Type, channel and size before a frame's payload. */
const before = 7;

export class AmqpMould {
  readonly #make: (number: number, taskId: string) => Made;

  private constructor(make: (number: number, taskId: string) => Made) {
    this.#make = make;
  }

  /** The queue must be empty, and is so afterwards. */
  static async take(place: AmqpBenchPlace): Promise<AmqpMould> {
    const env = { ...process.env, UMBEL_BENCH_BROKER: place.server.url(), PYTHONDONTWRITEBYTECODE: '1' };
    const output = execFileSync(python, [join(peerFolder, 'noop_peer.py'), 'sample'], { env, encoding: 'utf8' });
    const [first, second] = JSON.parse(output) as { number: number; id: string }[];
    if (first === undefined || second === undefined) throw new Error(`Python must have published two messages, got ${output}`);
    const read = headerReader(place);
    const original = await read();
    const pattern = await read();
    const text = original.message.content.toString();
    const make = (number: number, taskId: string): Made => made(original.message, text, { from: first, number, taskId });
    const mould = new AmqpMould(make);
    await mould.#publish(place, second.number, second.id);
    const copy = await read();
    if (!copy.header.equals(pattern.header) || !copy.message.content.equals(pattern.message.content)) {
      throw new Error(`a message made after one of Python's must equal Python's own:\n${pattern.header.toString('latin1')}`);
    }
    return mould;
  }

  /** Messages with the arguments 0 … `tasks - 1`, in this order, persistent, confirmed. */
  async fill(place: AmqpBenchPlace, tasks: number): Promise<void> {
    for (let from = 0; from < tasks; from += publishAtOnce) {
      for (let number = from; number < Math.min(from + publishAtOnce, tasks); number += 1) void this.#publish(place, number, randomUUID());
      await place.channel.waitForConfirms();
    }
  }

  #publish(place: AmqpBenchPlace, number: number, taskId: string): Promise<void> {
    const { options, body } = this.#make(number, taskId);
    return new Promise((resolve, reject) => {
      place.channel.publish(queue, queue, body, options, (error: unknown) => (error === null ? resolve() : reject(error as Error)));
    });
  }
}

function made(
  { properties }: GetMessage,
  text: string,
  { from, number, taskId }: { from: { number: number; id: string }; number: number; taskId: string },
): Made {
  const headers: Record<string, unknown> = { ...properties.headers, id: taskId, root_id: taskId, argsrepr: `(${number},)` };
  return {
    options: {
      contentType: properties.contentType,
      contentEncoding: properties.contentEncoding,
      headers: taggedTable(headers),
      deliveryMode: properties.deliveryMode,
      priority: properties.priority,
      correlationId: taskId,
      replyTo: properties.replyTo,
    },
    body: Buffer.from(text.replace(`[${from.number}]`, `[${number}]`)),
  };
}

interface Connection {
  rest: Buffer;
  recvFrame(): unknown;
}

/** Takes the next message from the queue, with the bytes of its header frame. */
function headerReader(place: AmqpBenchPlace): () => Promise<{ message: GetMessage; header: Buffer }> {
  const { connection } = place.connection as unknown as { connection: Connection };
  const recvFrame = connection.recvFrame.bind(connection);
  let header: Buffer = Buffer.alloc(0);
  connection.recvFrame = () => {
    const { rest } = connection;
    const end = rest.length > before ? before + rest.readUInt32BE(3) : Number.POSITIVE_INFINITY;
    if (rest[0] === headerFrame && rest.length > end) header = Buffer.from(rest.subarray(before, end));
    return recvFrame();
  };
  return async () => {
    const message = await place.channel.get(queue, { noAck: true });
    if (message === false) throw new Error(`there must be a message in the queue ${queue}`);
    return { message, header };
  };
}
