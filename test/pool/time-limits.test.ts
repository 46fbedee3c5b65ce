/** Which limit counts: the message's, else the type's, else the worker's; hard and soft each for itself. */
import t from 'tap';
import { type TimeLimit, TimeLimits } from '../../src/pool/time-limits.ts';
import { taskOffer } from '../consumer/doubles.ts';
import { jobOfType } from './job-of-type.ts';

const limit = (hardSeconds: number | null, softSeconds: number | null): TimeLimit => ({ hardSeconds, softSeconds });

function learned(worker: TimeLimit): TimeLimits {
  const limits = new TimeLimits(worker);
  const offers = [taskOffer('plain'), taskOffer('hard', { timeLimit: 10 }), taskOffer('both', { timeLimit: 20, softTimeLimit: 15 })];
  limits.learn(new Map(offers.map((offer) => [offer.name, offer])));
  return limits;
}

t.test('nobody says anything', (t) => {
  const limits = learned(limit(null, null));
  t.equal(limits.of(jobOfType('plain')), null);
  t.equal(new TimeLimits().of(jobOfType('plain')), null);
  t.equal(limits.of(jobOfType('unknown')), null);
  t.end();
});

t.test('each part from the nearest that says it', (t) => {
  const limits = learned(limit(100, 90));
  t.same(limits.of(jobOfType('plain')), limit(100, 90));
  t.same(limits.of(jobOfType('hard')), limit(10, 90));
  t.same(limits.of(jobOfType('both')), limit(20, 15));
  t.same(limits.of(jobOfType('both', limit(3, null))), limit(3, 15));
  t.same(limits.of(jobOfType('plain', limit(null, 2))), limit(100, 2));
  t.end();
});

t.test('0 says nothing, as in Celery', (t) => {
  t.same(learned(limit(100, 0)).of(jobOfType('both', limit(0, 0))), limit(20, 15));
  t.equal(new TimeLimits(limit(0, 0)).of(jobOfType('plain', limit(0, 0))), null);
  t.end();
});

t.test('changed at run time, also before the type is known, and kept when a new child says what it offers', (t) => {
  const limits = new TimeLimits(limit(100, null));
  limits.change('both', limit(5, null));
  t.same(limits.ofType('both'), limit(5, null));
  limits.learn(new Map([['both', taskOffer('both', { timeLimit: 20, softTimeLimit: 15 })]]));
  t.same(limits.of(jobOfType('both')), limit(5, null), 'what the task itself says does not come back');
  limits.change('both', limit(null, 7));
  t.same(limits.of(jobOfType('both')), limit(100, 7));
  t.same(limits.of(jobOfType('both', limit(1, null))), limit(1, 7), 'a message still says more');
  t.end();
});
