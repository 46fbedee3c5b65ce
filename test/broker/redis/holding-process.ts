/** A process that takes messages and keeps them: `node holding-process.ts URL QUEUE COUNT LEASE-MS`. Says 'holding' when it has them. */
import { openInbox } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

const [url = '', queue = '', count = '0', leaseMs = '30000'] = process.argv.slice(2);
const broker = redisBroker(url, { broker: { workerLeaseMs: Number(leaseMs) } });
await broker.start();
const inbox = await openInbox(broker, [queue], Number(count));
const held = await inbox.deliveries.take(Number(count));
process.stdout.write('holding\n');
// Stopped for longer than its lease: what it then tries is told.
const lost = await inbox.lost.next();
const outcomes = await Promise.all(held.map((delivery) => inbox.subscription.ack(delivery)));
process.stdout.write(`lost ${lost.length} ${outcomes.join()}\n`);
const again = await inbox.deliveries.next();
process.stdout.write(`again ${String(again.headers?.id)} ${again.redelivered}\n`);
await broker.stop();
