/** What a worker takes while its broker takes no messages (an alarm of RabbitMQ): what has ended and cannot be recorded makes room, up to a bound. */
import t from 'tap';
import { Bench } from './consumer-bench.ts';
import { settled, taskOffer } from './doubles.ts';

t.test('while the broker takes no messages, what has ended and cannot be recorded does not fill the prefetch', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 2 });
  const stored = Promise.withResolvers<void>();
  bench.backend.store = () => stored.promise;
  const finish = async (): Promise<void> => {
    for (const job of [...bench.pool.jobs]) {
      bench.pool.startJob(job);
      bench.pool.succeed(job);
    }
    await settled();
  };
  await bench.sendMany(1100);
  await finish();
  t.equal(bench.pool.jobs.length, 0);
  bench.clock.advance(60_000);
  t.equal(bench.consumer.received, 2, 'otherwise it does');
  bench.broker.block('low on memory');
  await bench.calm();
  t.equal(bench.consumer.received, 4, 'two have ended, two are held');
  await finish();
  bench.clock.advance(100);
  await bench.calm();
  t.equal(bench.consumer.received, 6, 'it is looked at again and again');
  for (let rounds = 0; rounds < 600; rounds += 1) {
    await finish();
    bench.clock.advance(100);
    await settled();
  }
  t.equal(bench.consumer.received, 1002, 'a thousand beside the prefetch, and no more');
  const { pending } = bench.clock;
  bench.broker.block(null);
  t.equal(bench.clock.pending, pending - 1, 'it is not looked at any more');
  stored.resolve();
  await bench.settler.idle();
  await bench.calm();
  t.equal(bench.consumer.received, 1004, 'as ever');
});

for (const acksLate of [false, true]) {
  t.test(`so it is where a message is taken only for a free child, ${acksLate ? 'late' : 'early'} acknowledgement`, async (t) => {
    const offers = [taskOffer('tasks.add', { acksLate })];
    const bench = await Bench.started(t, { poolSize: 1, exactPrefetch: true, offers });
    bench.backend.store = () => new Promise(() => {});
    bench.broker.block('low on memory');
    await bench.sendMany(4);
    for (let received = 1; received <= 3; received += 1) {
      t.equal(bench.consumer.received, received);
      const [job] = bench.pool.jobs;
      bench.pool.startJob(job!);
      bench.clock.advance(100);
      await bench.calm();
      t.equal(bench.consumer.received, received, 'no child is free');
      bench.pool.succeed(job!);
      bench.clock.advance(100);
      await bench.calm();
    }
    t.equal(bench.consumer.received, 4);
  });
}

t.test('what is acknowledged and has ended fills its place while the broker takes messages, and beyond a thousand', async (t) => {
  const offers = [taskOffer('tasks.add', { acksLate: false })];
  const bench = await Bench.started(t, { poolSize: 2, exactPrefetch: true, offers });
  const stored = Promise.withResolvers<void>();
  bench.backend.store = () => stored.promise;
  const rounds = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round += 1) {
      for (const job of [...bench.pool.jobs]) {
        bench.pool.startJob(job);
        await settled();
        bench.pool.succeed(job);
      }
      bench.clock.advance(100);
      await settled();
    }
    await bench.calm();
  };
  await bench.sendMany(1100);
  await rounds(10);
  t.equal(bench.consumer.received, 2, 'the result backend alone is away');
  bench.broker.block('low on memory');
  await rounds(600);
  t.equal(bench.consumer.received, 1002, 'a thousand beside the two places, and no more');
  bench.broker.block(null);
  await rounds(10);
  t.equal(bench.consumer.received, 1002);
  stored.resolve();
  await bench.settler.idle();
  await bench.calm();
  t.equal(bench.consumer.received, 1004, 'as ever');
});

for (const comesAgain of [true, false]) {
  t.test(
    `what went with a lost connection makes no room, ${comesAgain ? 'until it comes again' : 'as another worker has it'}`,
    async (t) => {
      const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 2 });
      Object.assign(bench.broker.features, { redelivers: true });
      bench.backend.store = () => new Promise(() => {});
      bench.broker.block('low on memory');
      await bench.sendMany(10);
      const ended = [...bench.broker.delivered];
      for (const job of [...bench.pool.jobs]) {
        bench.pool.startJob(job);
        bench.pool.succeed(job);
      }
      bench.clock.advance(100);
      await bench.calm();
      t.equal(bench.consumer.received, 4, 'two have ended, two are held');
      const lost = [...bench.broker.delivered];
      bench.broker.consumed?.onLost(lost);
      bench.clock.advance(100);
      for (const delivery of lost) {
        await bench.broker.subscription?.reject(delivery, { requeue: comesAgain || !ended.includes(delivery) });
      }
      await bench.calm();
      t.equal(bench.consumer.received, 6, 'two are held');
      bench.clock.advance(100);
      await bench.calm();
      t.equal(bench.consumer.received, comesAgain ? 8 : 6);
      t.equal([...bench.consumer.held].length, 4, 'the two that have ended, and two to run');
      t.equal(bench.pool.jobs.length, 2);
    },
  );
}

t.test('what runs while the broker takes no messages fills the prefetch, and the alarm may end with the connection', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 2 });
  await bench.sendMany(5);
  for (const job of bench.pool.jobs) bench.pool.startJob(job);
  const { pending } = bench.clock;
  bench.broker.block('low on memory');
  bench.clock.advance(1000);
  await bench.calm();
  t.equal(bench.consumer.received, 2);
  t.equal(bench.clock.pending, pending + 1);
  // Nobody is told.
  bench.broker.blocked = null;
  bench.clock.advance(100);
  t.equal(bench.clock.pending, pending);
});
