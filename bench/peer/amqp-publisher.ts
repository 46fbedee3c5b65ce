/**
 * One client that publishes no-op tasks with confirms, so many in flight: umbel's, or amqplib alone with a message of the same form. Usage:
 * amqp-publisher.ts URL TASKS umbel|raw; prints seconds and CPU microseconds as JSON.
 */
import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { App, taskHandle } from '../../src/client/umbel.ts';

const [url = '', count = '', mode = ''] = process.argv.slice(2);
const tasks = Number(count);
const inFlight = 1000;
/** Of the compiler. */
const warmUp = 5000;

interface Publisher {
  publish(number: number, confirmed: () => void): void;
  close(): Promise<void>;
}

const failed = (error: unknown): never => {
  throw error;
};

async function umbel(): Promise<Publisher> {
  const app = new App({ broker: url, backend: 'disabled' });
  await app.start();
  const noop = taskHandle<[number], void>('noop.noop');
  return { publish: (number, confirmed) => void noop.delay(number).then(confirmed, failed), close: () => app.stop() };
}

async function raw(): Promise<Publisher> {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  const publish = (number: number, confirmed: () => void): void => {
    const id = randomUUID();
    const headers = {
      lang: 'js',
      task: 'noop.noop',
      id,
      shadow: null,
      eta: null,
      expires: null,
      group: null,
      group_index: null,
      retries: 0,
      timelimit: [null, null],
      root_id: id,
      parent_id: null,
      argsrepr: `[${number}]`,
      kwargsrepr: '{}',
      origin: 'gen1@localhost',
      replaced_task_nesting: 0,
      stamped_headers: null,
      stamps: {},
    };
    const body = JSON.stringify([[number], {}, { callbacks: null, errbacks: null, chain: null, chord: null }]);
    const options = {
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      headers,
      deliveryMode: 2,
      priority: 0,
      correlationId: id,
      replyTo: '',
    };
    channel.publish('celery', 'celery', Buffer.from(body), options, (error: unknown) => (error === null ? confirmed() : failed(error)));
  };
  return { publish, close: () => connection.close() };
}

function publishAll(publisher: Publisher, from: number, to: number): Promise<void> {
  return new Promise((resolve) => {
    let next = from;
    let confirmed = from;
    const one = (): void => {
      next += 1;
      publisher.publish(next, () => {
        confirmed += 1;
        if (next < to) one();
        else if (confirmed === to) resolve();
      });
    };
    while (next < Math.min(from + inFlight, to)) one();
  });
}

const publisher = await (mode === 'umbel' ? umbel() : raw());
await publishAll(publisher, 0, warmUp);
const startedAtMs = performance.now();
const cpuBefore = process.cpuUsage();
await publishAll(publisher, warmUp, warmUp + tasks);
const seconds = (performance.now() - startedAtMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
await publisher.close();
console.log(JSON.stringify({ seconds, cpuMicros: user + system, published: warmUp + tasks }));
