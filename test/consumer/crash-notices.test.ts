/** The count of crashes told among workers: the message goes back as it was, and everybody goes on counting. */
import t, { type Test } from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { CrashNotices } from '../../src/consumer/crash-notices.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { RefusingBroker } from './doubles.ts';

async function workers(t: Test, maxRemembered = 10) {
  const hub = new MemoryHub();
  return Promise.all(
    [1, 2].map(async () => {
      const broker = new MemoryBroker({ hub });
      await broker.start();
      const notices = new CrashNotices({ broker, log: new RecordingLog(), maxRemembered });
      await notices.start();
      t.teardown(async () => {
        await notices.stop();
        await broker.stop();
      });
      return { broker, notices };
    }),
  );
}

/** Broadcasts in memory arrive in the next turns. */
const heard = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
};

t.test('what one tells, both know; a smaller count changes nothing', async (t) => {
  const [one, two] = await workers(t);
  await one!.notices.tell('bad', 1);
  t.equal(one!.notices.crashesOf('bad'), 1, 'at once');
  await heard();
  t.equal(two!.notices.crashesOf('bad'), 1);
  await two!.notices.tell('bad', 2);
  await one!.notices.tell('other', 1, 7000);
  await heard();
  t.equal(one!.notices.crashesOf('bad'), 2);
  t.equal(one!.notices.crashesOf('unknown'), 0);
  t.strictSame([two!.notices.notBeforeMs('other'), two!.notices.notBeforeMs('bad'), two!.notices.notBeforeMs('unknown')], [7000, 0, 0]);
  one!.notices.forget('bad');
  t.equal(one!.notices.crashesOf('bad'), 0);
});

t.test('garbage is no notice, and memory has a bound', async (t) => {
  const [one, two] = await workers(t, 2);
  const properties = { contentType: 'application/json', contentEncoding: 'utf-8' };
  for (const body of ['{', 'null', '{"id": 3, "crashes": 1}', '{"id": "x", "crashes": "many"}'])
    await one!.broker.publish({ properties, headers: null, body: Buffer.from(body) }, { exchange: 'umbel.crashes', routingKey: '' });
  for (const id of ['a', 'b', 'c']) await one!.notices.tell(id, 1);
  await heard();
  t.same(
    ['x', 'a', 'b', 'c'].map((id) => two!.notices.crashesOf(id)),
    [0, 0, 1, 1],
  );
});

t.test('one that nobody can be told is said, and known here', async (t) => {
  const log = new RecordingLog();
  const notices = new CrashNotices({ broker: new RefusingBroker(), log });
  await notices.tell('bad', 2, 7000);
  t.strictSame([notices.crashesOf('bad'), notices.notBeforeMs('bad')], [2, 7000]);
  t.match(await log.event('task.crash-untold'), {
    level: 'warning',
    message: /task bad has ended 2 children: no exchange 'umbel\.crashes'/,
  });
});
