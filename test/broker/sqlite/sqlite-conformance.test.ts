import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { brokerConformance } from '../conformance.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

brokerConformance(t, {
  name: 'sqlite',
  open: async () => {
    const folder = temporaryFolder();
    const path = folder.path('broker.db');
    const log = new RecordingLog();
    return {
      // A store each, as in processes of their own.
      create: async () => new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log }),
      createDoomed: async () => {
        const store = storeAt(path, log);
        // In this very process, so that only the lease can tell that it is dead; over before an heir judges anybody.
        const broker = new SqliteBroker({ store, leaseMs: 1800, log });
        await broker.start();
        return { broker, crash: async () => store.abandon() };
      },
      putGarbage: async (queue) => {
        const database = new DatabaseSync(path, { timeout: 5000 });
        const insert = database.prepare(
          'INSERT INTO kombu_message (visible, payload, version, queue_id) SELECT 1, ?, 1, id FROM kombu_queue WHERE name = ?',
        );
        for (const payload of ['', 'not json', '{"body":"x"}', '[]']) insert.run(payload, queue);
        database.close();
        return true;
      },
      close: async () => folder.remove(),
    };
  },
});
