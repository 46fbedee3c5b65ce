import t from 'tap';
import type { Job } from '../../src/pool/job.ts';
import { JobQueue } from '../../src/pool/job-queue.ts';
import { SeededRandom } from '../live/seeded-random.ts';

const job = (id: number): Job => ({ id }) as unknown as Job;

t.test('an empty queue', (t) => {
  const queue = new JobQueue();
  t.same([queue.size, queue.peek(), queue.shift()], [0, undefined, undefined]);
  queue.unshift([]);
  t.equal(queue.size, 0);
  t.end();
});

t.test('behaves as an array does, whatever is done to it', (t) => {
  const random = SeededRandom.fromEnvironment('QUEUE_SEED');
  t.comment(`QUEUE_SEED=${random.seed}`);
  const queue = new JobQueue();
  const array: Job[] = [];
  for (let step = 0, id = 0; step < 50_000; step += 1) {
    // Grows in the first half, shrinks in the second.
    const pushes = step < 25_000 ? 0.6 : 0.3;
    const choice = random.next();
    if (choice < pushes) {
      id += 1;
      queue.push(job(id));
      array.push(job(id));
    } else if (choice < 0.97) {
      const [got, wanted] = [queue.shift(), array.shift()];
      if (got?.id !== wanted?.id) throw new Error(`step ${step}: shift must give ${wanted?.id}, got ${got?.id}`);
    } else {
      const back = Array.from({ length: random.below(5) }, () => {
        id += 1;
        return job(id);
      });
      queue.unshift(back);
      array.unshift(...back);
    }
    if (queue.size !== array.length || queue.peek()?.id !== array[0]?.id) throw new Error(`step ${step}: the queue must be as the array`);
  }
  t.ok(array.length < 25_000);
  t.same(
    Array.from({ length: queue.size }, () => queue.shift()?.id),
    array.map(({ id }) => id),
  );
  t.end();
});

t.test('does not keep what was taken', (t) => {
  const queue = new JobQueue();
  for (let id = 0; id < 100_000; id += 1) {
    queue.push(job(id));
    queue.shift();
  }
  t.equal(queue.size, 0);
  t.end();
});
