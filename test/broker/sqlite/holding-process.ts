/** A process that takes messages and keeps them: `node holding-process.ts FILE QUEUE COUNT [LEASE [EXCHANGE]]`. Prints 'holding' when it has them. */
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { openInbox } from '../inbox.ts';
import { storeAt } from './temporary-store.ts';

const [path = '', queue = '', count = '0', leaseMs = '60000', exchange] = process.argv.slice(2);
const broker = new SqliteBroker({ store: storeAt(path), leaseMs: Number(leaseMs), log: new RecordingLog() });
await broker.start();
if (exchange !== undefined) await broker.declareQueue({ name: queue, exchange, exchangeType: 'fanout', autoDelete: true });
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
