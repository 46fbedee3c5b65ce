import t from 'tap';
import { Ignore, MaxRetriesExceededError, Reject, Retry } from '../../src/task/control-flow.ts';

class AppError extends Error {}

t.test('the text of a Retry', async (t) => {
  t.equal(new Retry({ when: 2, exc: new AppError('try again') }).message, "Retry in 2s: AppError('try again')");
  t.equal(new Retry({ when: 600 }).message, 'Retry in 600s');
  t.equal(new Retry({ when: 1.5, exc: 'busy' }).message, 'Retry in 1.5s: busy');
  t.equal(new Retry({ when: new Date('2030-01-02T03:04:05Z') }).message, 'Retry at 2030-01-02 03:04:05+00:00');
  t.equal(new Retry({ when: new Date('2030-01-02T03:04:05.678Z') }).humanize(), 'at 2030-01-02 03:04:05.678000+00:00');
});

t.test('when a Retry is due', async (t) => {
  const before = Date.now();
  const soon = new Retry({ when: 2 });
  t.ok(soon.etaMs >= before + 2000 && soon.etaMs <= Date.now() + 2000);
  t.equal(soon.countdown, 2);
  const fixed = new Retry({ when: new Date(5000) });
  t.equal(fixed.etaMs, 5000);
  t.equal(fixed.countdown, null);
});

t.test('Reject', async (t) => {
  t.match(new Reject('no disk', { requeue: true }), { reason: 'no disk', requeue: true, message: 'reject requeue=True: no disk' });
  t.match(new Reject(new AppError('x')), { requeue: false, message: "reject requeue=False: AppError('x')" });
  t.equal(new Reject().message, 'reject requeue=False: None');
});

t.test('names are those Celery knows', async (t) => {
  t.equal(new Ignore().name, 'Ignore');
  t.equal(new Reject().name, 'Reject');
  t.equal(new Retry({ when: 1 }).name, 'Retry');
  const exceeded = new MaxRetriesExceededError('tasks.add', 'id-1', [1, 'a'], { k: true });
  t.equal(exceeded.name, 'MaxRetriesExceededError');
  t.equal(exceeded.message, "Can't retry tasks.add[id-1] args:(1, 'a') kwargs:{'k': True}");
});
