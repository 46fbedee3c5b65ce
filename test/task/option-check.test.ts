import t from 'tap';
import { aName, aPriority, aTime, checkOptions, seconds } from '../../src/task/option-check.ts';

const kinds = { queue: aName, countdown: seconds, eta: aTime, priority: aPriority };
const check = (given: Record<string, unknown>) => () => checkOptions('options of task add', given, kinds, ['timeLimit']);

t.test('accepted', async (t) => {
  t.doesNotThrow(check({}));
  t.doesNotThrow(check({ queue: 'mail', countdown: 0.5, eta: new Date(0), priority: 255 }));
  t.doesNotThrow(check({ eta: '2030-01-02T03:04:05.678000+00:00' }));
  t.doesNotThrow(check({ queue: undefined }), 'undefined is not given');
});

t.test('refused, naming task, option and value', async (t) => {
  const refuses = (given: Record<string, unknown>, message: string) =>
    t.throws(check(given), { code: 'TASK_OPTION_INVALID', message: `options of task add: ${message}` });
  refuses({ queue: 7 }, 'queue must be a non-empty string, got 7');
  refuses({ queue: '' }, "queue must be a non-empty string, got ''");
  refuses({ countdown: -1 }, 'countdown must be a number of seconds, 0 or more, got -1');
  refuses({ countdown: Number.NaN }, 'countdown must be a number of seconds, 0 or more, got NaN');
  refuses({ eta: 'tomorrow' }, "eta must be a Date or an ISO 8601 text, got 'tomorrow'");
  refuses({ eta: new Date(Number.NaN) }, 'eta must be a Date or an ISO 8601 text, got Invalid Date');
  refuses({ priority: 256 }, 'priority must be an integer from 0 to 255, got 256');
  refuses({ timeLimit: 5 }, 'timeLimit is not built yet in this version, got 5');
  refuses({ quque: 'mail' }, "quque is not an option; the options are queue, countdown, eta, priority, got 'mail'");
  refuses({ toString: 1 }, 'toString is not an option; the options are queue, countdown, eta, priority, got 1');
});
