/** A part of a chord: its result, its count and the acknowledgement of its message, none without the others. */
import t from 'tap';
import type { ChordOutcome } from '../../../src/backend/group-store.ts';
import type { Delivery, SettleOutcome } from '../../../src/broker/broker.ts';
import { textOf } from '../../broker/inbox.ts';
import { link } from '../../driver/redis-link.ts';
import { everyRight, RedisServer, withoutRights } from '../../redis-server.ts';
import { record } from '../conformance.ts';
import { lossy } from './lossy-relay.ts';
import { journalOf, partBalance } from './redis-journal.ts';
import { idOf, journaled, names, nextTurn, publish, type Worker, work } from './settling-worker.ts';

interface Counted {
  readonly outcome: ChordOutcome['kind'];
  readonly settled: SettleOutcome | null;
}

/** As the settling code does it, with `ignoreResult` when `stored` is false. */
async function count(worker: Worker, delivery: Delivery, groupId: string, index: number, stored = true): Promise<Counted> {
  let settled: SettleOutcome | null = null;
  const part = { groupId, groupIndex: index, chordSize: null, ignoreResult: !stored };
  const settle = async (): Promise<void> => {
    settled = await worker.subscription.ack(delivery);
  };
  const { kind } = await groupsOf(worker).storeChordPart(record(textOf(delivery), 'SUCCESS', index), part, settle);
  return { outcome: kind, settled };
}

function groupsOf({ backend }: Worker) {
  return backend.groups;
}

const alone: Counted = { outcome: 'counted', settled: 'done' };
const last: Counted = { outcome: 'complete', settled: 'kept' };
const key = (groupId: string, suffix: string): string => `celery-taskset-meta-${groupId}${suffix}`;

t.test('one step for a part that is counted; a part that completes keeps its message until it is settled again', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  await groupsOf(worker).setChordSize('g', 2);
  await publish(worker, names(2));
  const [first, second] = (await worker.deliveries.take(2)) as [Delivery, Delivery];
  t.strictSame(await count(worker, first, 'g', 0), alone);
  t.equal(server.cli('HLEN', 'unacked'), '1');
  t.equal(server.cli('ZCARD', 'unacked_index'), '1');
  t.strictSame(await count(worker, second, 'g', 1), last);
  t.equal(server.cli('HEXISTS', 'unacked', String(second.tag)), '1');
  t.equal(server.cli('ZCARD', 'unacked_index'), '1');
  t.strictSame(await count(worker, second, 'g', 1), last, 'and so again: it is still ours');
  t.strictSame(await Promise.all([groupsOf(worker).endChord('g'), worker.subscription.ack(second)]), [undefined, 'done']);
  t.equal(server.cli('KEYS', 'unacked*'), '');
  const { together, completing, alone: others } = partBalance(journalOf(server), idOf, 'task');
  t.strictSame([...together], ['task0']);
  t.strictSame([...completing], ['task1']);
  t.strictSame(others, []);
});

t.test('what Redis refuses is neither counted nor acknowledged', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  await groupsOf(worker).setChordSize('g', 5);
  await publish(worker, ['one']);
  const [one] = (await worker.deliveries.take(1)) as [Delivery];
  const held = (): string => server.cli('HLEN', 'unacked');
  for (const [wrong, named] of [
    [key('g', '.j'), /WRONGTYPE.*\(ZRANGEBYSCORE celery-taskset-meta-g\.j\)/],
    ['celery-task-meta-one', /WRONGTYPE/],
    ['unacked_index', /WRONGTYPE.*\(ZSCORE unacked_index\)/],
  ] as const) {
    const saved = server.cli('EXISTS', wrong) === '1';
    if (saved) server.cli('RENAME', wrong, 'saved');
    server.cli('HSET', wrong, 'of another', 'type');
    await t.rejects(count(worker, one, 'g', 0), { code: 'BACKEND_UNAVAILABLE', message: named }, wrong);
    t.equal(held(), '1', wrong);
    server.cli('DEL', wrong);
    if (saved) server.cli('RENAME', 'saved', wrong);
  }
  server.cli('RENAME', 'unacked', 'saved');
  server.cli('SET', 'unacked', 'no hash');
  await t.rejects(count(worker, one, 'g', 0), { message: /WRONGTYPE.*\(HEXISTS unacked\)/ });
  server.cli('RENAME', 'saved', 'unacked');
  // A size that is wrong shows after the result is stored and the part counted.
  server.cli('RENAME', key('g', '.s'), 'saved');
  server.cli('HSET', key('g', '.s'), 'of another', 'type');
  await t.rejects(count(worker, one, 'g', 0), { message: /WRONGTYPE.*\(GET celery-taskset-meta-g\.s\)/ });
  t.equal(held(), '1');
  server.cli('RENAME', 'saved', key('g', '.s'));
  t.strictSame(await count(worker, one, 'g', 0), alone, 'it was ours all the time');
  t.equal(server.cli('ZCARD', key('g', '.j')), '1');
  t.equal(held(), '0');
  await publish(worker, ['two']);
  const two = await worker.deliveries.next();
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const waiting = count(worker, two, 'g', 1, false);
  await worker.log.event('redis.refuses');
  t.equal(held(), '1');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.strictSame(await waiting, alone);
  t.equal(held(), '0');
});

t.test('a right that is missing: it waits, and the command is named', { skip: withoutRights() }, async (t) => {
  for (const [command, named] of [
    ['zadd', /\bZADD celery-taskset-meta-g\.j\b/],
    ['hexists', /\bHEXISTS unacked\b/],
    ['publish', /\bPUBLISH celery-task-meta-one\b/],
  ] as const) {
    const server = await RedisServer.start(t);
    server.cli('ACL', 'SETUSER', 'limited', ...everyRight());
    const worker = await work(t, `redis://limited:secret@${server.host}:${server.port}/0`);
    await groupsOf(worker).setChordSize('g', 2);
    await publish(worker, ['one']);
    const one = await worker.deliveries.next();
    server.cli('ACL', 'SETUSER', 'limited', `-${command}`);
    const counting = count(worker, one, 'g', 0);
    t.match(await worker.log.event('redis.refuses'), { message: named });
    t.equal(server.cli('HLEN', 'unacked'), '1');
    server.cli('ACL', 'SETUSER', 'limited', `+${command}`);
    t.strictSame(await counting, alone);
  }
});

t.test('a message that somebody took is counted by whoever has it', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await groupsOf(worker).setChordSize('g', 1);
  await publish(worker, ['one']);
  const one = await worker.deliveries.next();
  server.cli('HDEL', 'unacked', String(one.tag));
  t.strictSame(await count(worker, one, 'g', 0), { outcome: 'counted', settled: 'stale' }, 'also when it would complete the chord');
  t.equal(server.cli('EXISTS', key('g', '.j'), key('g', '.umbel-claim'), 'celery-task-meta-one'), '0');
});

t.test('a reply that got lost', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const { url, loseReplies, lost } = await lossy(t, server);
  const worker = await work(t, url);
  const groups = groupsOf(worker);
  await publish(worker, names(5));
  const [first, second, third, quiet, taken] = (await worker.deliveries.take(5)) as [Delivery, Delivery, Delivery, Delivery, Delivery];
  // It looks for messages no more: the answer to that could be taken for one that is to be lost.
  worker.subscription.pause();
  await groups.setChordSize('g', 2);
  // The script is known: what is lost next is its reply.
  await groups.setChordSize('other', 9);
  t.strictSame(await count(worker, quiet, 'other', 0, false), alone);
  loseReplies(/(^|\r\n):0\r\n/);
  t.strictSame(await count(worker, first, 'g', 0), alone, 'counted the first time');
  t.equal(lost(), 1);
  t.equal(server.cli('ZCARD', key('g', '.j')), '1');
  loseReplies(/\*3\r\n\$8\r\ncomplete\r\n/);
  t.strictSame(await count(worker, second, 'g', 1), last, 'complete the first time, and so the second');
  t.equal(lost(), 2);
  t.equal(server.cli('HEXISTS', 'unacked', String(second.tag)), '1');
  await Promise.all([groups.endChord('g'), worker.subscription.ack(second)]);
  // Meanwhile another part has completed the chord and ended it.
  await groups.setChordSize('h', 2);
  loseReplies(/(^|\r\n):0\r\n/, () => server.cli('DEL', key('h', '.j'), key('h', '.s')));
  t.strictSame(await count(worker, third, 'h', 0), alone);
  t.equal(lost(), 3);
  t.equal(server.cli('EXISTS', key('h', '.j')), '0', 'the count of a chord that has ended does not begin again');
  // Complete, and taken by another worker before we can say so again: that one completes it.
  await groups.setChordSize('i', 1);
  loseReplies(/\*3\r\n\$8\r\ncomplete\r\n/, () => server.cli('HDEL', 'unacked', String(taken.tag)));
  t.equal((await count(worker, taken, 'i', 0)).outcome, 'counted');
  t.equal(server.cli('GET', key('i', '.umbel-claim')), textOf(taken), 'which has the same id');
  const { together, completing } = partBalance(journalOf(server), idOf, 'task');
  t.strictSame([...together].sort(), ['task0', 'task2']);
  t.strictSame([...completing], ['task1', 'task4'], 'the last one was taken by hand');
});

t.test('the reply to a claim of a run got lost: it is still the first', async (t) => {
  const server = await RedisServer.start(t);
  const { url, loseReplies, lost } = await lossy(t, server);
  const groups = groupsOf(await work(t, url));
  loseReplies(/mark-a/);
  t.equal(await groups.claimRun('body', 'mark-a'), 'first', 'asked again by the connection, not by another copy');
  t.equal(lost(), 1);
  t.equal(await groups.claimRun('body', 'mark-a'), 'same');
  t.equal(await groups.claimRun('body', 'mark-b'), 'other');
});

t.test('600 parts of 60 chords while connections break and scripts are forgotten', async (t) => {
  t.setTimeout(240_000);
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  const groups = groupsOf(worker);
  const size = 10;
  const ids = names(600);
  const groupOf = (id: string): string => `g${Math.floor(Number(id.slice('task'.length)) / size)}`;
  for (let group = 0; group < ids.length / size; group++) await groups.setChordSize(`g${group}`, size);
  await publish(worker, ids);
  const other = link(t, server.url());
  await other.connection.acquire();
  const flushes: Promise<unknown>[] = [];
  const bodies: string[] = [];
  const settling: Promise<void>[] = [];
  const end = async (delivery: Delivery): Promise<void> => {
    const id = textOf(delivery);
    const { outcome, settled } = await count(worker, delivery, groupOf(id), Number(id.slice('task'.length)) % size);
    t.equal(settled, outcome === 'complete' ? 'kept' : 'done', id);
    if (outcome !== 'complete') return;
    bodies.push(groupOf(id));
    await Promise.all([groups.endChord(groupOf(id)), worker.subscription.ack(delivery)]);
  };
  for (let index = 0; index < ids.length; index++) {
    settling.push(end(await worker.deliveries.next()));
    if (index % 10 === 0) flushes.push(other.connection.call('SCRIPT', 'FLUSH'));
    if (index % 7 === 0) await nextTurn();
    if (index % 100 === 50) {
      const lost = worker.state('lost');
      worker.connection.reconnect('test');
      await lost;
      await worker.state('connected');
    }
  }
  await Promise.all(settling);
  await Promise.all(flushes);
  t.ok(worker.connection.epoch > 5);
  t.match(server.cli('INFO', 'commandstats'), /cmdstat_eval:calls=[1-9]/, 'scripts were missed, and came as text');
  t.strictSame(bodies.sort(), Array.from({ length: 60 }, (_, group) => `g${group}`).sort(), 'one body for each');
  t.equal(server.cli('KEYS', 'unacked*'), '');
  t.equal(server.cli('KEYS', 'celery-taskset-meta-*'), '');
  const { together, completing, alone: others } = partBalance(journalOf(server), idOf, 'task');
  t.strictSame(others, []);
  t.equal(completing.size, 60);
  t.equal(together.size, 540);
});

t.test('kept after the subscription was cancelled: given back when the broker stops', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await groupsOf(worker).setChordSize('g', 1);
  await publish(worker, ['one']);
  const one = await worker.deliveries.next();
  const counting = count(worker, one, 'g', 0);
  const cancelled = worker.subscription.cancel();
  t.strictSame(await counting, last);
  await cancelled;
  t.equal(server.cli('HLEN', 'unacked'), '1');
  await worker.broker.stop();
  t.equal(server.cli('HLEN', 'unacked'), '0');
  t.equal(server.cli('LLEN', 'celery'), '1');
});

t.test('a result that is too large is refused before it costs the connection', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await publish(worker, ['one']);
  const one = await worker.deliveries.next();
  let asked = false;
  const resultJson = `"${'é'.repeat(2 ** 28)}"`;
  const part = { groupId: 'g', groupIndex: 0, chordSize: 2, ignoreResult: true };
  const counting = groupsOf(worker).storeChordPart({ ...record('one', 'SUCCESS', 0), resultJson }, part, async () => {
    asked = true;
  });
  await t.rejects(counting, { code: 'RESULT_TOO_LARGE', message: /not be larger than 536870912 bytes, got 536870\d{3} \(task one\)/ });
  t.notOk(asked);
  t.equal(await worker.subscription.ack(one), 'done');
});
