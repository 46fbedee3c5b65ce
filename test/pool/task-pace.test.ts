import t from 'tap';
import { TaskPace } from '../../src/pool/task-pace.ts';

function noted(count: number, seconds: number, pace = new TaskPace()): TaskPace {
  for (let index = 0; index < count; index += 1) pace.note('a', seconds);
  return pace;
}

t.test('nothing is said of a type before it has been seen often enough', (t) => {
  t.equal(new TaskPace().estimateMs('a'), Number.POSITIVE_INFINITY);
  t.equal(noted(15, 0.001).estimateMs('a'), Number.POSITIVE_INFINITY);
  t.ok(Number.isFinite(noted(16, 0.001).estimateMs('a')));
  t.equal(noted(16, 0.001).estimateMs('b'), Number.POSITIVE_INFINITY, 'each type for itself');
  t.end();
});

t.test('the estimate is that of the executions when they are alike', (t) => {
  const estimateMs = noted(40, 0.005).estimateMs('a');
  t.ok(estimateMs >= 5 && estimateMs < 5.5, `5 ms each, got ${estimateMs}`);
  t.end();
});

t.test('one long execution counts at once, and is forgotten slowly', (t) => {
  const pace = noted(100, 0.001);
  pace.note('a', 0.5);
  t.ok(pace.estimateMs('a') > 20, `far above anything short, got ${pace.estimateMs('a')}`);
  noted(5, 0.001, pace);
  t.ok(pace.estimateMs('a') > 10, 'still remembered after a few short ones');
  noted(200, 0.001, pace);
  t.ok(pace.estimateMs('a') < 2, 'but not for ever');
  t.end();
});

t.test('a task that takes no time at all still has an estimate that can be compared', (t) => {
  const estimateMs = noted(50, 0).estimateMs('a');
  t.ok(estimateMs >= 0 && estimateMs < 1);
  t.end();
});
