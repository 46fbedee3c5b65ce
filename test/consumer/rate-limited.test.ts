/** Tasks that wait for their rate limit, in a consumer: the prefetch, what ends the waiting, the end of the worker. */
import t from 'tap';
import { Bench } from './consumer-bench.ts';
import { taskOffer } from './doubles.ts';

const limitedOffers = [taskOffer('tasks.limited', { acksLate: true, rateLimit: '1/m' }), taskOffer('tasks.add', { acksLate: true })];

t.test('tasks that wait for their rate limit keep neither places of the pool nor those of other types', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 2, offers: limitedOffers });
  await bench.send(...Array.from({ length: 30 }, () => bench.message({ task: 'tasks.limited' })));
  await bench.calm();
  t.strictSame(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-1'],
  );
  t.equal(await bench.ready(), 0, 'all have been taken, so that what comes behind them can be seen');
  bench.pool.succeed(bench.pool.jobs[0]!);
  await bench.sendMany(3);
  await bench.calm();
  t.strictSame(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-31', 'task-32'],
  );
  t.equal(await bench.ready(), 1, 'and of those no more than the prefetch count');
  await bench.clock.advanceAsync(60_000);
  t.strictSame(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-31', 'task-32', 'task-2'],
  );
});

t.test('above the reserve they count for the prefetch', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 2, offers: limitedOffers, rateLimitReserve: 5 });
  await bench.send(...Array.from({ length: 30 }, () => bench.message({ task: 'tasks.limited' })));
  await bench.calm();
  t.equal(bench.consumer.rateLimits.waiting, 6);
  t.equal(await bench.ready(), 23);
  await bench.log.event('consumer.limited');
});

t.test('what is revoked or expires while it waits is not run, and the next takes its turn', async (t) => {
  const bench = await Bench.started(t, { offers: limitedOffers });
  const expiresMs = bench.clock.now() + 30_000;
  await bench.send(
    bench.message({ task: 'tasks.limited' }),
    bench.message({ task: 'tasks.limited' }),
    bench.message({ task: 'tasks.limited', expiresMs }),
    bench.message({ task: 'tasks.limited' }),
  );
  bench.revoked.add('task-2');
  await bench.clock.advanceAsync(60_000);
  t.strictSame(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-1', 'task-4'],
  );
  t.equal((await bench.backend.get('task-2'))?.status, 'REVOKED');
  t.equal((await bench.backend.get('task-3'))?.status, 'REVOKED');
  t.strictSame(bench.broker.settlements, ['ack', 'ack']);
});

t.test('a stop gives back what waits for its rate limit', async (t) => {
  const bench = await Bench.started(t, { offers: limitedOffers });
  await bench.send(...Array.from({ length: 4 }, () => bench.message({ task: 'tasks.limited' })));
  await bench.calm();
  bench.pool.startJob(bench.pool.jobs[0]!);
  await bench.consumer.quiet();
  t.equal(bench.consumer.rateLimits.waiting, 0);
  t.equal(bench.settler.counts.returned, 3);
  await bench.consumer.stop();
  t.equal(await bench.ready(), 4, 'the broker has them again, with the one that runs');
});

t.test('what the broker takes away while it waits does not start', async (t) => {
  const bench = await Bench.started(t, { offers: limitedOffers });
  await bench.send(bench.message({ task: 'tasks.limited' }), bench.message({ task: 'tasks.limited' }));
  t.equal(bench.broker.delivered.length, 2);
  bench.broker.consumed?.onLost([bench.broker.delivered[1]!]);
  await bench.clock.advanceAsync(60_000);
  t.strictSame(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-1'],
  );
  t.equal(bench.settler.counts.returned, 1);
});
