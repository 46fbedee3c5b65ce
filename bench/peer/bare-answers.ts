/**
 * What a round trip costs when nobody does anything: takes each message as the cheapest way gives it and answers with a result at once, in one
 * process, without children, leases or confirmations. It loses what it holds when it ends: a measure of the client and the server, no worker.
 * Usage: bare-answers.ts URL (redis:// or amqp://); runs until it is ended.
 */
import { connect } from 'amqplib';
import { Redis } from 'ioredis';

const queue = 'celery';

function resultOf(id: string): string {
  return JSON.stringify({
    task_id: id,
    status: 'SUCCESS',
    result: null,
    traceback: null,
    children: [],
    date_done: new Date().toISOString(),
  });
}

async function answerOnRedis(url: string): Promise<void> {
  const taking = new Redis(url);
  const answering = new Redis(url);
  for (;;) {
    const [, envelope = ''] = (await taking.brpop(queue, 0)) ?? [];
    const { headers } = JSON.parse(envelope) as { headers: { id: string } };
    const key = `celery-task-meta-${headers.id}`;
    const result = resultOf(headers.id);
    await answering.multi().set(key, result, 'EX', 86_400).publish(key, result).exec();
  }
}

async function answerOnRabbitmq(url: string): Promise<void> {
  const connection = await connect(url, { noDelay: true });
  const channel = await connection.createChannel();
  await channel.assertExchange(queue, 'direct', { durable: true });
  await channel.assertQueue(queue, { durable: true });
  await channel.bindQueue(queue, queue, queue);
  await channel.prefetch(8);
  await channel.consume(queue, (message) => {
    if (message === null) throw new Error('the server must not end the consumption');
    const { correlationId, replyTo } = message.properties as { correlationId: string; replyTo: string };
    const properties = { correlationId, contentType: 'application/json', contentEncoding: 'utf-8', deliveryMode: 1 };
    channel.publish('', replyTo, Buffer.from(resultOf(correlationId)), properties);
    channel.ack(message);
  });
}

const [url = ''] = process.argv.slice(2);
await (url.startsWith('redis:') ? answerOnRedis(url) : answerOnRabbitmq(url));
