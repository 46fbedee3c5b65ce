/**
 * The reference: amqplib alone, prefetch 256, nothing decoded, no task run. From the first delivery to the server's answer behind the last
 * acknowledgement. Usage: amqp-raw-consumer.ts URL QUEUE TASKS each|batch; prints seconds and CPU microseconds as JSON.
 */
import { connect } from 'amqplib';

const [url = '', queue = '', count = '', mode = ''] = process.argv.slice(2);
const tasks = Number(count);
const prefetch = 256;
const batch = 64;

const connection = await connect(url);
const channel = await connection.createChannel();
await channel.prefetch(prefetch);
let done = 0;
let startedAtMs = 0;
let cpuBefore = process.cpuUsage();
await new Promise<void>((resolve) => {
  void channel.consume(queue, (message) => {
    if (message === null) throw new Error('the server must not end the consumption');
    if (done === 0) {
      startedAtMs = performance.now();
      cpuBefore = process.cpuUsage();
    }
    done += 1;
    if (mode === 'each') channel.ack(message);
    else if (done % batch === 0 || done === tasks) channel.ack(message, true);
    if (done === tasks) resolve();
  });
});
await channel.checkQueue(queue);
const seconds = (performance.now() - startedAtMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
await connection.close();
console.log(JSON.stringify({ seconds, cpuMicros: user + system }));
